"""MQTT: messages in and out. Nodes of other folders that listen to topics build on `MqttSource`."""

from flowrt_nodes.mqtt._arrivals import Arrival
from flowrt_nodes.mqtt._source import MqttSource

__all__ = ["Arrival", "MqttSource"]
