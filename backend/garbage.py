"""Python's search for garbage in the processes that serve."""

import gc

# Objects made since the last search, and how many searches of the young go before one of the older.
COLLECT_EVERY = (20_000, 10, 10)


def spare_what_is_loaded() -> None:
    """Search for garbage seldom, and never again in what is loaded now.

    That stays for ever, while requests make many short-lived objects: a collection every 700 of them, over all
    that was loaded, took a twelfth of a web worker's time, and in the engine host held up SQLite's one writer.
    """
    gc.freeze()
    gc.set_threshold(*COLLECT_EVERY)
    gc.enable()
