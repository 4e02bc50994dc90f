"""How much the engine host takes on at once, and the threads that this needs.

A question that no thread is free for waits unread: nobody could say that the host is busy, and its health and its
jobs would wait behind it. So there is a thread for every question that is answered, one for every connection that
waits for the next, and some for what the host says of itself.
"""

MOST_AT_WORK = 192
# Of one function, so that chats that wait leave room for pictures; more than a model's own queue holds.
MOST_OF_ONE = 128
# A connection that waits for a question holds a thread, and those that ask need one too.
MOST_WAITING = 32
OWN_THREADS = 16
THREADS = MOST_AT_WORK + MOST_WAITING + OWN_THREADS
