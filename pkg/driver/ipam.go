package driver

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	api "github.com/docker/go-plugins-helpers/ipam"
	"go.uber.org/zap"

	"github.com/ovs-container-lab/ovs-container-network/pkg/ipam"
	"github.com/ovs-container-lab/ovs-container-network/pkg/options"
	"github.com/ovs-container-lab/ovs-container-network/pkg/topology"
)

// addressCapabilities is what dockerd asks an IPAM driver for first; the helpers' type
// lacks the second field (moby, daemon/libnetwork/ipams/remote/api/api.go).
type addressCapabilities struct {
	RequiresMACAddress    bool
	RequiresRequestReplay bool
}

// Keys of dockerd in the Options of a request for an address
// (daemon/libnetwork/ipamapi/contract.go, daemon/libnetwork/netlabel/labels.go).
const (
	keyAddressType = "RequestAddressType"
	gatewayAddress = "com.docker.network.gateway"
)

// optTenant is the one --ipam-opt.
const optTenant = "tenant_id"

// requestPool opens an address pool. dockerd asks for it before there is a network,
// and whether or not OVN is there: nothing is asked of OVN here.
func (d *Driver) requestPool(ctx context.Context, r api.RequestPoolRequest) (api.RequestPoolResponse, error) {
	var none api.RequestPoolResponse
	if err := d.ready(ctx); err != nil {
		return none, err
	}
	k, err := poolKey(r)
	if err != nil {
		return none, err
	}
	if !d.Records.HasPool(k) {
		d.awaitRebuilt(ctx) // a network that has it, or a part of it, may have lost its record
	}
	if r.Pool == "" {
		k, err = d.Records.OpenAnyPool(k.Tenant, r.V6)
	} else {
		err = d.Records.OpenPool(k)
	}
	if err != nil {
		return none, err
	}
	return api.RequestPoolResponse{PoolID: k.String(), Pool: k.Subnet.String(), Data: map[string]string{}}, nil
}

func poolKey(r api.RequestPoolRequest) (ipam.Key, error) {
	k := ipam.Key{Tenant: r.Options[optTenant]}
	for _, name := range slices.Sorted(maps.Keys(r.Options)) {
		if name != optTenant && !strings.HasPrefix(name, "com.docker.") {
			return k, fmt.Errorf("unknown --ipam-opt %q: there is %q only", name, optTenant)
		}
	}
	if k.Tenant != "" {
		if err := options.CheckTenant(k.Tenant); err != nil {
			return k, fmt.Errorf("--ipam-opt %s: %w", optTenant, err)
		}
	}
	if r.Pool == "" {
		if r.SubPool != "" {
			return k, fmt.Errorf("--ip-range %q needs a --subnet that it is a part of", r.SubPool)
		}
		return k, nil
	}
	subnet, err := netip.ParsePrefix(r.Pool)
	if err != nil {
		return k, fmt.Errorf("reading the subnet %q: %w", r.Pool, err)
	}
	k.Subnet = subnet.Masked()
	if r.SubPool != "" {
		part, err := netip.ParsePrefix(r.SubPool)
		if err != nil {
			return k, fmt.Errorf("reading the address range %q: %w", r.SubPool, err)
		}
		if k.Range = part.Masked(); k.Range == k.Subnet {
			k.Range = netip.Prefix{}
		}
	}
	return k, k.Validate()
}

func (d *Driver) releasePool(_ context.Context, r api.ReleasePoolRequest) (empty, error) {
	k, err := ipam.ParseKey(r.PoolID)
	if err != nil {
		return empty{}, err
	}
	return empty{}, d.Records.ClosePool(k)
}

// requestAddress gives an address of this host's away, and asks OVN for more of them
// only when it has none left.
func (d *Driver) requestAddress(ctx context.Context, r api.RequestAddressRequest) (api.RequestAddressResponse, error) {
	var none api.RequestAddressResponse
	if err := d.ready(ctx); err != nil {
		return none, err
	}
	k, err := ipam.ParseKey(r.PoolID)
	if err != nil {
		return none, err
	}
	var asked netip.Addr
	if r.Address != "" {
		if asked, err = netip.ParseAddr(r.Address); err != nil {
			return none, fmt.Errorf("reading the address %q: %w", r.Address, err)
		}
	}
	if !d.Records.HasPool(k) {
		d.awaitRebuilt(ctx)
	}
	a, err := d.Records.TakeAddress(ctx, k, asked, r.Options[keyAddressType] == gatewayAddress)
	if err != nil {
		return none, err
	}
	d.Log.Debug("address given", zap.String("pool", k.String()), zap.Stringer("address", a))
	return api.RequestAddressResponse{Address: netip.PrefixFrom(a, k.Subnet.Bits()).String(), Data: map[string]string{}}, nil
}

func (d *Driver) releaseAddress(_ context.Context, r api.ReleaseAddressRequest) (empty, error) {
	k, err := ipam.ParseKey(r.PoolID)
	if err != nil {
		return empty{}, err
	}
	a, err := netip.ParseAddr(r.Address)
	if err != nil {
		return empty{}, fmt.Errorf("reading the address %q: %w", r.Address, err)
	}
	return empty{}, d.Records.GiveBack(k, a)
}

// spaces are the address spaces of the driver: one. Tenants divide it by themselves.
func spaces() api.AddressSpacesResponse {
	return api.AddressSpacesResponse{LocalDefaultAddressSpace: topology.AddressSpace, GlobalDefaultAddressSpace: topology.AddressSpace}
}
