# mypy: ignore-errors
"""Lets Megatron-Bridge 0.3 be imported, and train, on a machine without a GPU. Nothing of Megatron's code is replaced
but the call of `make` for helpers that its wheel has compiled already.

To be imported at the top of the main script: the process that saves checkpoints in the background is spawned, and
imports that script again.
"""

import contextlib
import importlib
import importlib.util
import os
import pkgutil
import sys
import types
import warnings

os.environ["TORCHDYNAMO_DISABLE"] = "1"  # torch.compile and the mode below exclude each other

import torch
from torch.overrides import TorchFunctionMode

# Functions of torch.cuda that the training loop calls whether there is a GPU or not, and what a CPU would say.
ANSWERS = {
    "is_available": True,
    "device_count": 1,
    "current_device": 0,
    "memory_stats": {},
    **dict.fromkeys(("memory_allocated", "max_memory_allocated", "memory_reserved", "max_memory_reserved"), 0),
    **dict.fromkeys(("set_device", "synchronize", "empty_cache", "reset_peak_memory_stats", "_lazy_init"), None),
    "get_device_name": "cpu",
    "get_device_capability": (9, 0),
    "get_device_properties": types.SimpleNamespace(
        name="cpu", major=9, minor=0, total_memory=1 << 34, multi_processor_count=1
    ),
}


class Nothing:
    """A stream or an event: all that is asked of it has happened."""

    def __init__(self, *args, **kwargs):
        pass

    def __getattr__(self, name):
        return lambda *args: 0.0 if name == "elapsed_time" else True if name == "query" else None


class OnCpu(TorchFunctionMode):
    """Makes what is meant for a GPU on the CPU."""

    def __torch_function__(self, function, kinds, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if function is torch.Tensor.cuda:
            return args[0]
        if "device" in kwargs:
            kwargs["device"] = cpu_for(kwargs["device"])
        if function in (torch.Tensor.to, torch.Tensor.new_tensor):
            args = tuple(arg if type(arg) is int else cpu_for(arg) for arg in args)
        return function(*args, **kwargs)


def cpu_for(device):
    is_cuda = (isinstance(device, str) and device.startswith("cuda")) or type(device) is int
    is_cuda = is_cuda or (isinstance(device, torch.device) and device.type == "cuda")
    return torch.device("cpu") if is_cuda else device


def answer_for_cuda():
    cuda = torch.cuda
    for name, answer in ANSWERS.items():
        setattr(cuda, name, lambda *args, answer=answer, **kwargs: answer)
    cuda.Stream = cuda.Event = cuda.current_stream = cuda.default_stream = Nothing
    cuda.stream = lambda stream: contextlib.nullcontext()
    cuda.get_rng_state = cuda.random.get_rng_state = lambda device=None: torch.get_rng_state()
    cuda.set_rng_state = cuda.random.set_rng_state = lambda state, device=None: torch.set_rng_state(state)
    cuda.manual_seed = cuda.manual_seed_all = lambda seed: torch.default_generator.manual_seed(int(seed))
    cuda.initial_seed = torch.default_generator.initial_seed
    cuda._lazy_call = cuda.random._lazy_call = lambda function, **kwargs: function()
    cuda.random._lazy_init = cuda._lazy_init
    cuda.default_generators = (torch.default_generator,)
    torch.nn.Module.cuda = lambda module, device=None: module
    OnCpu().__enter__()


def import_bridge():
    """Import megatron.bridge.

    It imports Transformer Engine and triton unconditionally, megatron-core uses them where they are. So all of the
    latter is imported first, and placeholders are only there while the former is.
    """
    triton = {} if importlib.util.find_spec("triton") else placeholders_for_triton()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import megatron.core
        import transformers  # noqa: F401

        sys.modules.update(triton)
        for module in pkgutil.walk_packages(megatron.core.__path__, "megatron.core.", onerror=lambda name: None):
            with contextlib.suppress(ImportError, AttributeError):
                importlib.import_module(module.name)
        engine = placeholders_for_transformer_engine()
        sys.modules.update(engine)
        try:
            import megatron.bridge.training.pretrain
        finally:
            for name in (*engine, *triton):
                del sys.modules[name]
    megatron.bridge.training.initialize.compile_helpers = lambda: None


def placeholders_for_triton():
    triton, language = package("triton", __version__="3.0.0"), types.ModuleType("triton.language")
    triton.jit = lambda function=None, **kwargs: function or (lambda given: given)
    triton.autotune = triton.heuristics = lambda *args, **kwargs: lambda function: function
    triton.Config = lambda *args, **kwargs: None
    triton.language = language
    language.constexpr = type("constexpr", (), {"__init__": lambda self, value=None: setattr(self, "value", value)})
    language.dtype = language.int32 = language.int64 = language.float32 = object
    return {"triton": triton, "triton.language": language}


def placeholders_for_transformer_engine():
    def absent(name):
        return type(name, (torch.nn.Module,), {})

    ops = types.SimpleNamespace(Sequential=absent("Sequential"))
    names = {name: absent(name) for name in ("Linear", "TransformerLayer")}
    pytorch = package("transformer_engine.pytorch", ops=ops, **names)
    return {
        "transformer_engine": package("transformer_engine", __version__="2.11.0", pytorch=pytorch),
        "transformer_engine.pytorch": pytorch,
    }


def package(name, **attributes):
    module = types.ModuleType(name)
    module.__path__ = []
    vars(module).update(attributes)
    return module


answer_for_cuda()
