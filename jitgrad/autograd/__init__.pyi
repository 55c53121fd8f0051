"""Made by `python -m jitgrad.stubs`: do not edit."""
import builtins
from typing import Any
from jitgrad.autograd.graph import Tensors
from jitgrad.tensors.tensor import Tensor
from jitgrad.autograd import anomaly_mode as anomaly_mode
from jitgrad.autograd import forward_ad as forward_ad
from jitgrad.autograd import function as function
from jitgrad.autograd import functional as functional
from jitgrad.autograd import graph as graph
from jitgrad.autograd.anomaly_mode import detect_anomaly as detect_anomaly
from jitgrad.autograd.anomaly_mode import set_detect_anomaly as set_detect_anomaly
from jitgrad.autograd.function import Function as Function
from jitgrad.autograd.function import once_differentiable as once_differentiable
from jitgrad.autograd.gradcheck import gradcheck as gradcheck
from jitgrad.autograd.gradcheck import gradgradcheck as gradgradcheck
from jitgrad.autograd.modes import enable_grad as enable_grad
from jitgrad.autograd.modes import inference_mode as inference_mode
from jitgrad.autograd.modes import is_grad_enabled as is_grad_enabled
from jitgrad.autograd.modes import is_inference_mode_enabled as is_inference_mode_enabled
from jitgrad.autograd.modes import no_grad as no_grad
from jitgrad.autograd.modes import set_grad_enabled as set_grad_enabled
from jitgrad.autograd.variable import Variable as Variable

def backward(tensors: Tensors, grad_tensors: Any = None, retain_graph: builtins.bool | None = None, create_graph: builtins.bool = False, grad_variables: Any = None, inputs: Tensors | None = None) -> None:
    """Compute the gradients of `tensors` and add them to the `.grad` of the leaves below (or of `inputs` only)."""
def grad(outputs: Tensors, inputs: Tensors, grad_outputs: Any = None, retain_graph: builtins.bool | None = None, create_graph: builtins.bool = False, only_inputs: builtins.bool = True, allow_unused: builtins.bool | None = None, is_grads_batched: builtins.bool = False, materialize_grads: builtins.bool = False) -> builtins.tuple[Tensor | None, ...]:
    """The sum of the gradients of `outputs` with respect to each of `inputs`, without touching any `.grad`."""
