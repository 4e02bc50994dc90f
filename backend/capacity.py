"""How much the engine host takes on at once, and the threads that this needs.

A question that no thread is free for waits unread: nobody could say that the host is busy, and its health and its
jobs would wait behind it. So there is a thread for every question that is answered, one for every connection that
waits for the next, and some for what the host says of itself.
"""

# More than a model's own queue holds, so that one that is full leaves room for the others.
MOST_AT_WORK = 192
# A connection that waits for a question holds a thread, and those that ask need one too.
MOST_WAITING = 32
OWN_THREADS = 16
THREADS = MOST_AT_WORK + MOST_WAITING + OWN_THREADS
