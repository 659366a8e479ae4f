"""An application of somebody else's, run beside the DPS: it has a flow of its own, and logs what it is told of.

Its flow sends up frames of an experimental Ethernet type (IEEE 802.1Q, 0x88b5), which the DPS knows nothing of.
"""

from typing import Any, ClassVar

from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import MAIN_DISPATCHER, set_ev_cls
from os_ken.ofproto import ofproto_v1_3
from os_ken.topology import event
from os_ken.topology.switches import Switches

COOKIE, ETH_TYPE = 0x42, 0x88B5


class Beside(app_manager.OSKenApp):
    OFP_VERSIONS: ClassVar = [ofproto_v1_3.OFP_VERSION]
    _CONTEXTS: ClassVar = {"switches": Switches}

    @set_ev_cls(event.EventSwitchEnter)
    def enter(self, entered: Any) -> None:
        datapath = entered.switch.dp
        self.logger.info("beside: switch %016x enters", datapath.id)
        parser, protocol = datapath.ofproto_parser, datapath.ofproto
        up = parser.OFPActionOutput(protocol.OFPP_CONTROLLER, protocol.OFPCML_NO_BUFFER)
        datapath.send_msg(
            parser.OFPFlowMod(
                datapath,
                cookie=COOKIE,
                priority=1000,
                match=parser.OFPMatch(eth_type=ETH_TYPE),
                instructions=[parser.OFPInstructionActions(protocol.OFPIT_APPLY_ACTIONS, [up])],
            )
        )

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def packet_in(self, packet: Any) -> None:
        self.logger.info("beside: packet-in with cookie %#x", packet.msg.cookie)
