"""Prints a line for each ICMP echo packet on a link, also inside of GRE and ERSPAN: SOURCE > DESTINATION TYPE SEQUENCE [vlan TAG]."""
import socket
import struct
import sys

ETH_P_ALL, SOL_PACKET, PACKET_ADD_MEMBERSHIP, PACKET_MR_PROMISC, SO_RCVBUFFORCE, PACKET_OUTGOING = 3, 263, 1, 1, 33, 4
PACKET_AUXDATA, TP_STATUS_VLAN_VALID, AUXDATA = 8, 16, "IIIHHHH"  # struct tpacket_auxdata of packet(7)


def address(raw):
    return socket.inet_ntop(socket.AF_INET if len(raw) == 4 else socket.AF_INET6, raw)


def tell(frame, tag):
    kind, at = struct.unpack_from("!H", frame, 12)[0], 14
    if kind == 0x8100:
        kind, at = struct.unpack_from("!H", frame, 16)[0], 18
    if kind == 0x0800:
        head = (frame[at] & 15) * 4
        source, destination, protocol, body = frame[at + 12:at + 16], frame[at + 16:at + 20], frame[at + 9], at + head
        if struct.unpack_from("!H", frame, at + 6)[0] & 0x1fff:
            return  # not the first fragment
    elif kind == 0x86dd:
        source, destination, protocol, body = frame[at + 8:at + 24], frame[at + 24:at + 40], frame[at + 6], at + 40
    else:
        return
    if protocol == 47:
        flags, inner = struct.unpack_from("!HH", frame, body)
        skip = 4 + sum(4 for bit in (0x8000, 0x2000, 0x1000) if flags & bit)
        if inner == 0x88be:
            skip += 8  # ERSPAN type II
        tell(frame[body + skip:], tag)
    elif protocol in (1, 58):
        kind = {128: 8, 129: 0}.get(frame[body], -1) if protocol == 58 else frame[body]
        if kind in (0, 8):
            print(address(source), ">", address(destination), kind, struct.unpack_from("!H", frame, body + 6)[0], *tag)


link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
link.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
link.bind((sys.argv[1], 0))
link.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, struct.pack("iHH8s", socket.if_nametoindex(sys.argv[1]), PACKET_MR_PROMISC, 0, b""))
link.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
print("listening")
while True:
    frame, extra, _, source = link.recvmsg(65535, socket.CMSG_SPACE(struct.calcsize(AUXDATA)))
    tag = ()
    for level, kind, data in extra:
        if (level, kind) == (SOL_PACKET, PACKET_AUXDATA):
            status, _, _, _, _, tci, _ = struct.unpack_from(AUXDATA, data)
            if status & TP_STATUS_VLAN_VALID:
                tag = ("vlan", tci & 0xfff)
    if source[2] != PACKET_OUTGOING:
        try:
            tell(frame, tag)
        except (IndexError, struct.error):
            print("short frame of", len(frame))
