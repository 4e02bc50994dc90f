"""Who answers a user for a model's name: the catalog's word, with the keys and addresses that the user configured."""

from dataclasses import replace
from typing import TYPE_CHECKING

from services.catalog import LOCAL, Route
from services.contracts.models import Ability, CatalogRow, ChatFlags
from services.credentials import Credentials
from services.errors import Invalid, NotFound, Unavailable
from services.providers import find_provider
from services.trained_models import as_catalog_row

if TYPE_CHECKING:
    from services.assemble import Services

# What a model that the catalog does not know is taken for when nothing is named: its provider's main trade.
TRADES: dict[Ability, set[str]] = {
    "chat": {"openai_like", "openai", "anthropic"},
    "text-to-image": {"dashscope", "ark"},
}


def resolve(name: str | None, ability: Ability, *, services: "Services", owner: str) -> Route:
    """Who answers *owner* for *name*.

    After the catalog's ids come the models that *owner* trained: by id, `ft:…` name, path, or what they call it;
    then configurations, then paths of installed models. A stored active configuration serves before the operator's
    key, and a configuration's name is a provider's: `name/model`, or `name` alone for its own model. Raises what
    `Catalog.resolve` raises.
    """
    if not name:
        return _default(ability, services, owner)
    if _catalog_knows(name, services):
        return with_credentials(services.catalog.resolve(name, ability), services, owner)
    if trained := _trained(name, ability, services, owner):
        return trained
    own = services.credentials.of(owner)
    return _by_configuration(name, own, services) or _with_active(services.catalog.resolve(name, ability), own)


def local(name: str | None, ability: Ability, *, services: "Services", owner: str) -> CatalogRow:
    """The row of the local model that *owner* means by *name*. Raises as `resolve`, and NotFound for others."""
    route = resolve(name, ability, services=services, owner=owner)
    if route.row is None or route.provider != LOCAL:
        raise NotFound(
            "There is no model {name} here that does this; flask models list shows those there are.",
            "此处没有可用于该功能的模型 {name}，可运行 flask models list 查看。",
            details={"reason": "model_not_found"},
            name=repr(route.name),
        )
    return route.row


def local_row(name: str, services: "Services") -> CatalogRow:
    """The row of a local model by its id, a catalog's or a trained one's, for where the engines are.

    Whether its user may use it was asked before, by `resolve`. Raises NotFound.
    """
    return services.catalog.look_up(name) or services.trained.row(name) or services.catalog.find(name)


def configured(config_id: str, model: str | None, *, services: "Services", owner: str) -> Route:
    """The route to *model*, or to its own, through one configuration of *owner*. Raises NotFound or Invalid."""
    credentials = next((found for found in services.credentials.of(owner) if found.id == config_id), None)
    if credentials is None:
        raise NotFound("There is no configuration '{id}'.", "配置'{id}'不存在。", id=config_id)
    wanted = model or credentials.model
    if not wanted:
        raise Invalid(
            "model",
            "The configuration has no model; name one in 'model'.",
            "该配置未指定模型，请在'model'中指定。",
            reason="required",
        )
    return _route(wanted, wanted, credentials, services)


def with_credentials(route: Route, services: "Services", owner: str) -> Route:
    """*route* with the active configuration of *owner* for its provider, if there is one."""
    kind = find_provider(route.provider)
    if route.provider == LOCAL or kind is None or kind.offline:
        return route
    return _with_active(route, services.credentials.of(owner))


def _with_active(route: Route, own: list[Credentials]) -> Route:
    active = (found for found in own if found.is_active and found.vendor == route.provider)
    credentials = next(active, None)
    return replace(route, credentials=credentials) if credentials else route


def _catalog_knows(name: str, services: "Services") -> bool:
    """Whether *name* is a model's id or begins with a provider's name; both come before what users configured."""
    before, slash, _ = name.partition("/")
    if slash and (before == LOCAL or find_provider(before)):
        return True
    return services.catalog.look_up(name) is not None


def _trained(name: str, ability: Ability, services: "Services", owner: str) -> Route | None:
    """The model of *owner* that *name* means, where it has *ability*."""
    if "/" in name and not name.lstrip("./").startswith("models/"):
        return None
    found = services.trained.look_up(name, owner=owner)
    if found is None or ability not in found.abilities:
        return None
    row = as_catalog_row(found)
    services.catalog.path(row)
    return Route(row.id, LOCAL, row.id, row.flags, row)


def _by_configuration(name: str, own: list[Credentials], services: "Services") -> Route | None:
    """The configuration that *name* begins with; of two the longer name, then the active, then the newer one."""
    found = [one for one in own if name == one.name or name.startswith(f"{one.name}/")]
    for credentials in sorted(found, key=lambda one: -len(one.name)):
        model = name[len(credentials.name) + 1 :] or credentials.model
        if model:
            return _route(name, model, credentials, services)
    return None


def _default(ability: Ability, services: "Services", owner: str) -> Route:
    """The setting, else the newest installed; then what the user configured, then the operator's keys."""
    route: Route | None = None
    unavailable: Unavailable | None = None
    try:
        route = services.catalog.resolve(None, ability)
    except Unavailable as error:
        unavailable = error
    if route and (route.provider == LOCAL or ability in services.settings.models_by_ability):
        return with_credentials(route, services, owner)
    for credentials in services.credentials.of(owner):
        if credentials.is_active and (own := _own_default(credentials, ability, services)):
            return own
    if route:
        return route
    assert unavailable is not None
    raise unavailable


def _own_default(credentials: Credentials, ability: Ability, services: "Services") -> Route | None:
    """The configuration's model where it has *ability*, as far as is known, else the provider's first that has."""
    if credentials.model:
        row = services.catalog.look_up(credentials.model)
        able = ability in row.abilities if row else credentials.vendor in TRADES.get(ability, set())
        return _route(credentials.model, credentials.model, credentials, services) if able else None
    rows = (row for row in services.catalog.rows(ability) if row.provider == credentials.vendor and not row.retired)
    first = next(rows, None)
    return _route(first.id, first.upstream_model or first.id, credentials, services) if first else None


def _route(name: str, model: str, credentials: Credentials, services: "Services") -> Route:
    row = services.catalog.look_up(model)
    if row is None or row.provider != credentials.vendor:
        return Route(name, credentials.vendor, model, ChatFlags(), credentials=credentials)
    return Route(name, credentials.vendor, row.upstream_model or model, row.flags, row, credentials)
