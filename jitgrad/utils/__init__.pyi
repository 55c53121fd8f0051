"""Made by `python -m jitgrad.stubs`: do not edit."""
from jitgrad.utils import checkpoint as checkpoint
from jitgrad.utils import data as data
from jitgrad.utils import dlpack as dlpack

