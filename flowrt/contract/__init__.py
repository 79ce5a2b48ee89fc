"""The contract: which topics and measurements exist, what is in them, and whether a message keeps to it.

`schemas/` is the one source: payloads, points, validation at run time, the compatibility check at load, the documents in `docs/`, the AsyncAPI
document and the broker's access list are all made from it.
"""

from flowrt.contract.contract import Contract
from flowrt.contract.points import Point
from flowrt.contract.spec import MeasurementSpec, NotInContract, TopicSpec
from flowrt.contract.validate import Breach, Validator

__all__ = ["Breach", "Contract", "MeasurementSpec", "NotInContract", "Point", "TopicSpec", "Validator"]
