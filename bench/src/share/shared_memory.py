# Python's multiprocessing.shared_memory under the same work as bifolio's objects; needs Python 3.8 or later.
# Argument: how many objects. Prints nanoseconds and a digest.
import sys
import time
from multiprocessing.shared_memory import SharedMemory

SIZE = 4096
count = int(sys.argv[1])
data = bytes([3]) * SIZE
digest = 0


def put_get_remove():
    made = SharedMemory(create=True, size=SIZE)
    made.buf[:SIZE] = data
    found = SharedMemory(made.name)
    copied = bytes(found.buf[:SIZE])
    found.close()
    made.close()
    made.unlink()
    return sum(copied[:8]) * (SIZE // 8)


# The first segment starts a process that watches over them.
put_get_remove()
begun = time.perf_counter_ns()
for _ in range(count):
    digest += put_get_remove()
took = time.perf_counter_ns() - begun
print(took, digest)
