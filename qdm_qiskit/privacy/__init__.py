"""Privacy of what a model was trained on: attacks with intervals, and training that bounds them.

::

    roc.py               areas and true-positive rates of an attack, with intervals
    losses.py            the loss of each image under a trained model
    shadows.py           shadow models as items of work, and likelihood ratios of their losses
    memorisation.py      samples nearer to training rows than chance puts them
    attributes.py        a secret column guessed by a model's loss
    audit.py             all of these on a run
    accounting.py        epsilon of noisy gradients of drawn batches
    private_training.py  training with clipped, noisy gradients, by Opacus (an extra)
    shot_noise.py        what is proved of shots and depolarizing noise
"""

from .accounting import gradient_epsilon
from .attributes import AttributeInference, infer_attribute
from .audit import AuditOptions, PrivacyAudit, audit_run
from .losses import image_losses
from .memorisation import Memorisation, measure_memorisation
from .private_training import PrivacyOptions, train_privately
from .roc import Membership, auc_interval, membership
from .shadows import lira_scores
from .shot_noise import binomial_delta, depolarized_epsilon, shots_epsilon

__all__ = [
    "AttributeInference",
    "AuditOptions",
    "Membership",
    "Memorisation",
    "PrivacyAudit",
    "PrivacyOptions",
    "auc_interval",
    "audit_run",
    "binomial_delta",
    "depolarized_epsilon",
    "gradient_epsilon",
    "image_losses",
    "infer_attribute",
    "lira_scores",
    "measure_memorisation",
    "membership",
    "shots_epsilon",
    "train_privately",
]
