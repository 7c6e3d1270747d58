package desired

import (
	"net/netip"
	"time"

	"reconciler/internal/strict"
)

// linkYAML is an interface as written.
type linkYAML struct {
	strict.Here
	Kind        strict.V[string]           `yaml:"kind" enum:"bridge,dummy,macvlan,veth,vlan,vxlan,bond,vrf,gre,ipip,sit,wireguard" doc:"What to make. Left out: an existing link, or the other end of a veth pair."`
	Description strict.V[string]           `yaml:"description" max:"255" doc:"Kept as the link's alias."`
	Match       *matchYAML                 `yaml:"match" doc:"Which existing link this is; left out: the one of this name."`
	Required    strict.V[bool]             `yaml:"required" doc:"false: the host may lack the link. Default true."`
	Protect     strict.V[bool]             `yaml:"protect" doc:"Never take the link, its addresses or its routes away."`
	Adopt       strict.V[bool]             `yaml:"adopt" doc:"Mark what exists as ours, so that it is deleted when it leaves the YAML."`
	Exact       []strict.V[string]         `yaml:"exact" enum:"addresses,routes,neighbours" doc:"Lists from which whatever is not declared is removed."`
	State       strict.V[string]           `yaml:"state" enum:"up,down" doc:"Default up for a link that is made."`
	MTU         strict.V[uint32]           `yaml:"mtu" min:"68" max:"65536" doc:"Bytes."`
	MAC         strict.V[mac]              `yaml:"mac" doc:"Link-layer address."`
	TxQueueLen  strict.V[uint32]           `yaml:"txqueuelen" max:"1000000" doc:"Packets."`
	Parent      strict.V[linkName]         `yaml:"parent" doc:"The link below a vlan, macvlan, vxlan or tunnel."`
	Master      strict.V[linkName]         `yaml:"master" doc:"The bridge, bond or vrf that this link is a port of."`
	Addresses   []addressYAML              `yaml:"addresses" doc:"Addresses with prefix length."`
	Neighbours  []neighbourYAML            `yaml:"neighbours" doc:"Permanent neighbours."`
	FDB         []fdbYAML                  `yaml:"fdb" doc:"Permanent forwarding entries of a bridge or vxlan."`
	Offload     strict.Map[strict.V[bool]] `yaml:"offload" names:"^[a-z0-9][a-z0-9-]*$" doc:"Features, as ethtool -k names them."`
	Sysctl      linkSysctlYAML             `yaml:"sysctl" doc:"The link's own kernel parameters, by family."`
	Bridge      *bridgeYAML                `yaml:"bridge"`
	BridgePort  *bridgePortYAML            `yaml:"bridge-port"`
	Veth        *vethYAML                  `yaml:"veth"`
	VXLAN       *vxlanYAML                 `yaml:"vxlan"`
	VLAN        *vlanYAML                  `yaml:"vlan"`
	MACVLAN     *macvlanYAML               `yaml:"macvlan"`
	Bond        *bondYAML                  `yaml:"bond"`
	VRF         *vrfYAML                   `yaml:"vrf"`
	GRE         *tunnelYAML                `yaml:"gre"`
	IPIP        *tunnelYAML                `yaml:"ipip"`
	SIT         *tunnelYAML                `yaml:"sit"`
	WireGuard   *wireGuardYAML             `yaml:"wireguard"`
}

type matchYAML struct {
	strict.Here
	Name   strict.V[string] `yaml:"name" min:"1" max:"127" doc:"A glob on the kernel's name or an alternative name."`
	MAC    strict.V[mac]    `yaml:"mac" doc:"The permanent MAC address."`
	Driver strict.V[string] `yaml:"driver" min:"1" max:"63" doc:"As ethtool -i prints it."`
	PCI    strict.V[string] `yaml:"pci" min:"1" max:"63" doc:"The bus address, 0000:00:03.0."`
}

type linkSysctlYAML struct {
	IPv4 strict.Map[strict.V[sysctlValue]] `yaml:"ipv4" names:"^[a-z0-9_]+$" doc:"Below net.ipv4.conf of the link."`
	IPv6 strict.Map[strict.V[sysctlValue]] `yaml:"ipv6" names:"^[a-z0-9_]+$" doc:"Below net.ipv6.conf of the link."`
}

type bridgeYAML struct {
	strict.Here
	Ports             []strict.V[linkName]    `yaml:"ports" doc:"The same as master: on each of them."`
	VLANFiltering     strict.V[bool]          `yaml:"vlan-filtering"`
	STP               strict.V[bool]          `yaml:"stp"`
	ForwardDelay      strict.V[time.Duration] `yaml:"forward-delay" min:"2000" max:"30000" doc:"From 2s to 30s."`
	HelloTime         strict.V[time.Duration] `yaml:"hello-time" min:"1000" max:"10000" doc:"From 1s to 10s."`
	MaxAge            strict.V[time.Duration] `yaml:"max-age" min:"6000" max:"40000" doc:"From 6s to 40s."`
	AgeingTime        strict.V[time.Duration] `yaml:"ageing-time" max:"10000000000" doc:"0s keeps no entry."`
	Priority          strict.V[uint16]        `yaml:"priority" doc:"Of the spanning tree."`
	MulticastSnooping strict.V[bool]          `yaml:"multicast-snooping"`
}

type bridgePortYAML struct {
	strict.Here
	VLANs []portVLANYAML `yaml:"vlans" doc:"VLANs of the port, identified by vid."`
}

type portVLANYAML struct {
	VID      strict.V[uint16] `yaml:"vid" min:"1" max:"4094" required:"true" short:"true"`
	PVID     strict.V[bool]   `yaml:"pvid" doc:"Untagged frames that come in belong to it."`
	Untagged strict.V[bool]   `yaml:"untagged" doc:"Its frames go out untagged."`
	Absent   strict.V[bool]   `yaml:"absent" doc:"Take the entry of a lower layer away."`
}

type vethYAML struct {
	strict.Here
	Peer strict.V[linkName] `yaml:"peer" doc:"The other end of the pair."`
}

type vxlanYAML struct {
	strict.Here
	ID       strict.V[uint32]     `yaml:"id" min:"1" max:"16777215" doc:"VNI."`
	Local    strict.V[netip.Addr] `yaml:"local"`
	Remote   strict.V[netip.Addr] `yaml:"remote" doc:"The other end, or a multicast group."`
	Port     strict.V[uint16]     `yaml:"port" min:"1" doc:"UDP port; default 4789."`
	Learning strict.V[bool]       `yaml:"learning"`
	TTL      strict.V[uint8]      `yaml:"ttl" doc:"0 takes that of the packet within."`
}

type vlanYAML struct {
	strict.Here
	ID       strict.V[uint16] `yaml:"id" min:"1" max:"4094"`
	Protocol strict.V[string] `yaml:"protocol" enum:"802.1q,802.1ad" doc:"Default 802.1q."`
}

type macvlanYAML struct {
	strict.Here
	Mode strict.V[string] `yaml:"mode" enum:"private,vepa,bridge,passthru,source"`
}

// What follows is accepted, and not applied by this version.

type bondYAML struct {
	strict.Here
	Mode           strict.V[string]        `yaml:"mode" enum:"balance-rr,active-backup,balance-xor,broadcast,802.3ad,balance-tlb,balance-alb"`
	Ports          []strict.V[linkName]    `yaml:"ports"`
	LACPRate       strict.V[string]        `yaml:"lacp-rate" enum:"slow,fast"`
	MIIMon         strict.V[time.Duration] `yaml:"miimon" max:"60000"`
	XmitHashPolicy strict.V[string]        `yaml:"xmit-hash-policy" enum:"layer2,layer2+3,layer3+4,encap2+3,encap3+4,vlan+srcmac"`
	MinLinks       strict.V[uint8]         `yaml:"min-links"`
}

type vrfYAML struct {
	strict.Here
	Table strict.V[tableRef]   `yaml:"table"`
	Ports []strict.V[linkName] `yaml:"ports"`
}

type tunnelYAML struct {
	strict.Here
	Local  strict.V[netip.Addr] `yaml:"local"`
	Remote strict.V[netip.Addr] `yaml:"remote"`
	TTL    strict.V[uint8]      `yaml:"ttl"`
	Key    strict.V[uint32]     `yaml:"key" doc:"Of gre only."`
}

type wireGuardYAML struct {
	strict.Here
	ListenPort     strict.V[uint16] `yaml:"listen-port" min:"1"`
	PrivateKeyFile strict.V[string] `yaml:"private-key-file" min:"1" doc:"A path on the host."`
	FwMark         strict.V[fwMark] `yaml:"fwmark"`
	Peers          []wgPeerYAML     `yaml:"peers"`
}

type wgPeerYAML struct {
	PublicKey        strict.V[wgKey]         `yaml:"public-key" required:"true"`
	PresharedKeyFile strict.V[string]        `yaml:"preshared-key-file" min:"1" doc:"A path on the host."`
	Endpoint         strict.V[string]        `yaml:"endpoint" min:"1" doc:"Host and port."`
	AllowedIPs       []strict.V[network]     `yaml:"allowed-ips"`
	Keepalive        strict.V[time.Duration] `yaml:"keepalive" max:"65535000"`
}
