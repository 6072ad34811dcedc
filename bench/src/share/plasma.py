# Plasma's object store under the same work as bifolio's objects; run by the bench with the Python that
# BIFOLIO_PLASMA_PYTHON names, which needs pyarrow 11 (later ones have no Plasma). Argument: how many
# objects. Prints nanoseconds and a digest.
import os
import subprocess
import sys
import tempfile
import time
import warnings

warnings.simplefilter("ignore")
import pyarrow
import pyarrow.plasma as plasma

SIZE = 4096
count = int(sys.argv[1])
program = os.path.join(os.path.dirname(pyarrow.__file__), "plasma-store-server")
with tempfile.TemporaryDirectory() as directory:
    socket = os.path.join(directory, "socket")
    store = subprocess.Popen([program, "-m", str(64 << 20), "-s", socket], stderr=subprocess.DEVNULL)
    try:
        client = plasma.connect(socket, num_retries=100)
        data = bytes([3]) * SIZE
        names = [plasma.ObjectID.from_random() for _ in range(count)]
        digest = 0
        begun = time.perf_counter_ns()
        for name in names:
            made = memoryview(client.create(name, SIZE)).cast("B")
            made[:] = data
            client.seal(name)
            [found] = client.get_buffers([name])
            digest += sum(bytes(memoryview(found).cast("B")[:8])) * (SIZE // 8)
            del made, found
            client.delete([name])
        took = time.perf_counter_ns() - begun
    finally:
        store.kill()
        store.wait()
print(took, digest)
