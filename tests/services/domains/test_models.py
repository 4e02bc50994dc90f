"""What the domain adds to the catalog and the pulls: names, results, the list of what chats."""

import pytest

from services.assemble import Services
from services.compute import registry
from services.contracts.models import PullRequest
from services.domains import models
from services.errors import Invalid, NotFound, Unavailable

STARTER_CHAT = "smollm2-135m-instruct"


def test_starter_stands_for_the_starter_set(services: Services) -> None:
    rows = models.rows_to_pull("starter", services=services)
    assert rows[0].id == STARTER_CHAT and len(rows) == 6
    assert [row.id for row in models.rows_to_pull("whisper-base", services=services)] == ["whisper-base"]


def test_a_pull_is_a_job_that_goes_on_after_a_crash() -> None:
    function = registry.find("models.pull")
    assert (function.lane, function.resumable, function.request) == ("io", True, PullRequest)


@pytest.mark.parametrize("name", ["nobody", "../x"])
def test_names_that_nobody_has(services: Services, name: str) -> None:
    for deed in (models.rows_to_pull, models.verify, models.remove):
        with pytest.raises(NotFound):
            deed(name, services=services)
    with pytest.raises(NotFound):
        models.pull(PullRequest(model=name), services=services)


def test_remote_models_have_no_weights(services: Services) -> None:
    for deed in (models.rows_to_pull, models.verify, models.remove):
        with pytest.raises(Invalid) as caught:
            deed("demo", services=services)
        assert caught.value.details == {"field": "model", "reason": "nothing_to_pull"}


def test_what_is_not_installed_can_be_neither_verified_nor_removed(services: Services) -> None:
    for deed in (models.verify, models.remove):
        with pytest.raises(Unavailable) as caught:
            deed(STARTER_CHAT, services=services)
        assert caught.value.details["reason"] == "model_not_installed"


def test_what_chats(services: Services) -> None:
    listed = {model.id: model for model in models.list_chat(services=services, owner="user-1").models}
    assert list(listed)[:4] == ["qwen-turbo", "qwen-plus", "qwen-max", "qwen-max-longcontext"]
    assert listed["qwen-max-longcontext"].retired
    local = listed[STARTER_CHAT]
    assert (local.installed, local.available, local.provider) == (False, False, "Local")
    assert listed["demo"].installed and listed["demo"].available
