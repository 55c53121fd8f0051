"""Made by `python -m jitgrad.stubs`: do not edit."""
from jitgrad.optim import lr_scheduler as lr_scheduler
from jitgrad.optim.adagrad import Adagrad as Adagrad
from jitgrad.optim.adam import Adam as Adam
from jitgrad.optim.adam import AdamW as AdamW
from jitgrad.optim.lbfgs import LBFGS as LBFGS
from jitgrad.optim.optimizer import Optimizer as Optimizer
from jitgrad.optim.rmsprop import RMSprop as RMSprop
from jitgrad.optim.sgd import SGD as SGD

