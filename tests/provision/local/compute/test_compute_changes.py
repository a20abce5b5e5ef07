"""Labels, metadata, the serial port's cursor, disks and addresses."""

from __future__ import annotations

import pytest
from google.api_core import exceptions
from google.cloud import compute_v1

PROJECT, REGION, ZONE = "tickdeck-test", "asia-northeast1", "asia-northeast1-a"


def set_labels(compute, labels, fingerprint):
    return compute.done(
        compute.instances.set_labels_unary(
            project=PROJECT,
            zone=ZONE,
            instance="vm-1",
            instances_set_labels_request_resource=compute_v1.InstancesSetLabelsRequest(labels=labels, label_fingerprint=fingerprint),
        )
    )


def test_labels_change_only_against_the_current_fingerprint(compute):
    compute.insert()
    seen = compute.get().label_fingerprint
    set_labels(compute, {"td-run": "r7"}, seen)
    assert dict(compute.get().labels) == {"td-run": "r7"}
    with pytest.raises(exceptions.PreconditionFailed) as stale:
        set_labels(compute, {"td-run": "r8"}, seen)
    assert "Labels fingerprint either invalid or resource labels have changed" in stale.value.message
    assert stale.value.errors[0]["reason"] == "conditionNotMet"
    assert dict(compute.get().labels) == {"td-run": "r7"}


def test_metadata_changes_only_against_the_current_fingerprint(compute):
    compute.insert()
    seen = compute.get().metadata.fingerprint
    new = compute_v1.Metadata(items=[compute_v1.Items(key="td-drain", value="1")], fingerprint=seen)
    compute.done(compute.instances.set_metadata_unary(project=PROJECT, zone=ZONE, instance="vm-1", metadata_resource=new))
    assert [(item.key, item.value) for item in compute.get().metadata.items] == [("td-drain", "1")]
    with pytest.raises(exceptions.PreconditionFailed) as stale:
        compute.instances.set_metadata_unary(project=PROJECT, zone=ZONE, instance="vm-1", metadata_resource=new)
    assert "Supplied fingerprint does not match current metadata fingerprint." in stale.value.message


def test_reading_serial_output_on_from_next_misses_nothing(compute):
    compute.insert(guest="exit 3")
    pieces, cursor = [], 0
    while "exit code 3" not in "".join(pieces):
        window = compute.serial(start=cursor)
        assert window.start == cursor
        pieces.append(window.contents)
        cursor = window.next_
    whole = compute.serial()
    assert "".join(pieces) == whole.contents[: len("".join(pieces))]
    assert whole.next_ == len(whole.contents.encode())
    assert compute.serial(start=-20).contents == whole.contents[-20:]


def test_serial_output_is_a_ring_of_one_megabyte(compute):
    compute.insert(guest="flood 100000")
    compute.wait_for_status("TERMINATED")
    end = compute.serial(start=-1).next_
    assert end > 1_600_000
    window = compute.serial(start=5)
    assert (window.start, window.next_) == (end - (1 << 20), end)
    assert compute.serial(start=-10_000_000).start == end - (1 << 20)
    assert compute.serial(start=end).contents == ""


def test_a_disk_that_is_not_deleted_with_its_vm_stays_as_an_orphan(compute):
    disk = compute_v1.AttachedDisk(
        boot=True,
        auto_delete=False,
        initialize_params=compute_v1.AttachedDiskInitializeParams(source_image="images/x", disk_size_gb=100),
    )
    compute.insert(disks=[disk])
    disks = compute.client("Disks")
    with pytest.raises(exceptions.BadRequest) as refused:
        disks.delete_unary(project=PROJECT, zone=ZONE, disk="vm-1")
    place = "projects/tickdeck-test/zones/asia-northeast1-a"
    used = f"The disk resource '{place}/disks/vm-1' is already being used by '{place}/instances/vm-1'"
    assert used in refused.value.message
    compute.done(compute.instances.delete_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
    [orphan] = disks.list(project=PROJECT, zone=ZONE)
    assert (orphan.name, orphan.size_gb, list(orphan.users)) == ("vm-1", 100, [])
    with pytest.raises(exceptions.Conflict, match="disks/vm-1' already exists"):
        compute.insert()
    compute.done(disks.delete_unary(project=PROJECT, zone=ZONE, disk="vm-1"))
    assert list(disks.list(project=PROJECT, zone=ZONE)) == []


def test_an_address_is_reserved_until_a_vm_uses_it(compute):
    addresses = compute.client("Addresses")

    def reserve(name: str):
        resource = compute_v1.Address(name=name)
        compute.done(addresses.insert_unary(project=PROJECT, region=REGION, address_resource=resource))
        return addresses.get(project=PROJECT, region=REGION, address=name)

    used, idle = reserve("egress-1"), reserve("egress-2")
    assert used.address != idle.address
    assert used.status == "RESERVED"
    access = compute_v1.AccessConfig(nat_i_p=used.address, type_="ONE_TO_ONE_NAT")
    compute.insert(network_interfaces=[compute_v1.NetworkInterface(access_configs=[access])])
    listed = {one.name: one for one in addresses.list(project=PROJECT, region=REGION)}
    assert (listed["egress-1"].status, listed["egress-2"].status) == ("IN_USE", "RESERVED")
    assert list(listed["egress-1"].users) == [compute.get().self_link]
    with pytest.raises(exceptions.BadRequest, match="is already being used by"):
        addresses.delete_unary(project=PROJECT, region=REGION, address="egress-1")
    compute.done(addresses.delete_unary(project=PROJECT, region=REGION, address="egress-2"))
    assert [one.name for one in addresses.list(project=PROJECT, region=REGION)] == ["egress-1"]
    compute.done(compute.instances.delete_unary(project=PROJECT, zone=ZONE, instance="vm-1"))
    assert addresses.get(project=PROJECT, region=REGION, address="egress-1").status == "RESERVED"


def test_an_old_address_can_be_labelled_as_ours(compute):
    addresses = compute.client("Addresses")
    resource = compute_v1.Address(name="tardis-ip-1")
    compute.done(addresses.insert_unary(project=PROJECT, region=REGION, address_resource=resource))
    found = addresses.get(project=PROJECT, region=REGION, address="tardis-ip-1")
    order = compute_v1.RegionSetLabelsRequest(labels={"td-owner": "ops"}, label_fingerprint=found.label_fingerprint)
    compute.done(
        addresses.set_labels_unary(project=PROJECT, region=REGION, resource="tardis-ip-1", region_set_labels_request_resource=order)
    )
    ours = compute_v1.ListAddressesRequest(project=PROJECT, region=REGION, filter="labels.td-owner:*")
    assert [one.name for one in addresses.list(ours)] == ["tardis-ip-1"]
