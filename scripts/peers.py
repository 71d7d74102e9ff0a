"""Peers to compare with, built for this machine from packages by name.

build() returns the directory of llama.cpp's programs, built once into build/peers from the source that the Python package
llama-cpp-python carries. The compiler is clang 19 where it is installed (g++ 12 miscompiles its AMX path), else the default;
a build that crashes in a trial run is repeated without AMX. --peer-dir names a build that is already there.
"""
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile

PACKAGE = "llama-cpp-python==0.3.36"
PROGRAMS = ["llama-bench", "llama-server", "llama-perplexity", "llama-tokenize", "llama-batched-bench", "llama-quantize", "llama-imatrix"]
ROOT = pathlib.Path(__file__).resolve().parent.parent
BASE = ROOT / "build" / "peers"


def run(command, **options):
    result = subprocess.run(command, capture_output=True, text=True, **options)
    if result.returncode != 0:
        sys.exit(f"peers: {' '.join(map(str, command[:4]))} ... failed ({result.returncode}):\n{(result.stderr or result.stdout)[-2000:]}")
    return result.stdout


def source_tree():
    """The unpacked llama.cpp tree."""
    found = sorted(BASE.glob("llama_cpp_python-*/vendor/llama.cpp/CMakeLists.txt"))
    if found:
        return found[0].parent
    BASE.mkdir(parents=True, exist_ok=True)
    print("peers: fetching the source of " + PACKAGE, file=sys.stderr)
    run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", "llama-cpp-python",
         "--dest", str(BASE), PACKAGE])
    archive = next(BASE.glob("llama_cpp_python-*.tar.gz"))
    with tarfile.open(archive) as tar:
        tar.extractall(BASE, filter="data")
    return next(BASE.glob("llama_cpp_python-*/vendor/llama.cpp/CMakeLists.txt")).parent


def compile_into(directory, options):
    flags = ["-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DBUILD_SHARED_LIBS=OFF", "-DLLAMA_CURL=OFF", "-DLLAMA_BUILD_TESTS=OFF"]
    if shutil.which("clang++-19"):
        flags += ["-DCMAKE_C_COMPILER=clang-19", "-DCMAKE_CXX_COMPILER=clang++-19", "-DGGML_OPENMP=OFF"]
    print(f"peers: building llama.cpp {' '.join(options)}; about 10 minutes on 2 cores", file=sys.stderr)
    run(["cmake", "-S", str(source_tree()), "-B", str(directory), *flags, *options])
    run(["cmake", "--build", str(directory), "--target", *PROGRAMS])


def works(directory, model):
    """A short trial: some compilers produce an AMX path that crashes."""
    trial = subprocess.run([str(directory / "bin" / "llama-bench"), "-m", str(model), "-p", "32", "-n", "2", "-r", "1", "-t", "2"],
                           capture_output=True, text=True)
    return trial.returncode == 0


def features(*names):
    """Options of a build for exactly these instructions."""
    return ["-DGGML_NATIVE=OFF", *[f"-DGGML_{name}=ON" for name in names]]


AVX2 = ["SSE42", "AVX", "AVX2", "FMA", "F16C", "BMI2"]
# What a peer may use beside `squish --isa`; the names are Squish's.
ISAS = {"avx2": features(*AVX2), "avxvnni": features(*AVX2, "AVX_VNNI"),
        "avx512": features(*AVX2, "AVX512", "AVX512_VBMI", "AVX512_VNNI", "AVX512_BF16")}


def built(name, options):
    """Where the programs are that these options make; built when they are not there."""
    directory = BASE / name
    if not all((directory / "bin" / program).exists() for program in PROGRAMS):
        compile_into(directory, options)
    return directory


def build(model, isa=""):
    """Directory of llama.cpp's programs; `model` is any GGUF for the trial run. `isa`: for a machine that has no more than that."""
    given = os.environ.get("SQUISH_PEER_DIR")
    if given:
        return pathlib.Path(given)
    if isa:
        if isa not in ISAS:
            sys.exit(f"peers: --isa is {isa}; llama.cpp is built for {', '.join(ISAS)}")
        return built(isa, ISAS[isa]) / "bin"
    native = built("native", ["-DGGML_NATIVE=ON"])
    if works(native, model):
        return native / "bin"
    return built("no-amx", ISAS["avx512"]) / "bin"
