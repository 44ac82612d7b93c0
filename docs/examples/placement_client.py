"""Places two instances, makes one of them, gives the other back: what a scheduler does with vmuster.

    python placement_client.py ADDRESS [REQUEST_ID]

ADDRESS is a coordinator's, as in unix:/run/vmuster/coordinator.sock. The modules in vmuster/v1 are generated; see
docs/placement.md.
"""

import sys
import uuid

import grpc
from google.protobuf import duration_pb2

from vmuster.v1 import placement_service_pb2 as pb
from vmuster.v1 import placement_service_pb2_grpc as rpc

GIB = 1 << 30

# Each call has a deadline: without one the coordinator's own `call_deadline` counts.
DEADLINE_S = 30

# Over a Unix socket grpcio names the server by its path, which is no name in HTTP/2; the server refuses it.
OPTIONS = [("grpc.default_authority", "localhost")]


def wanted(request_id, uuids):
    """The whole request. Sent again, all of it must be the same, the UUIDs too."""
    template = pb.InstanceTemplate(
        vcpus=2,
        memory_bytes=4 * GIB,
        disks=[pb.DiskDemand(size_bytes=10 * GIB)],
    )
    return pb.PlaceRequest(
        request_id=request_id,
        mode=pb.PLACE_MODE_CLAIM,
        groups=[pb.InstanceGroup(name="web", template=template, uuids=uuids)],
        hold=duration_pb2.Duration(seconds=300),
    )


def place(stub, request):
    """The answer, or None if it is not known what became of the request after three tries."""
    for _ in range(3):
        try:
            return stub.Place(request, timeout=DEADLINE_S)
        except grpc.RpcError as error:
            # Nobody knows whether it was promised. The same request has the same answer, so ask again.
            if error.code() not in (
                grpc.StatusCode.UNAVAILABLE,
                grpc.StatusCode.DEADLINE_EXCEEDED,
                grpc.StatusCode.ABORTED,
            ):
                raise
    return None


def say_why(answer):
    for refusal in answer.refusals:
        print(refusal.summary)
        for miss in refusal.nearest:
            for shortage in miss.shortages:
                print(f"  {miss.host}: {shortage.filter}: {shortage.detail}")


def shown(claim):
    state = pb.ClaimState.Name(claim.state).removeprefix("CLAIM_STATE_").lower()
    return f"{claim.id} {state} {claim.host} {claim.uuid}"


def main(address, request_id):
    # From the request's id, so that the same command is the same request.
    uuids = [str(uuid.uuid5(uuid.NAMESPACE_OID, f"{request_id}/{n}")) for n in range(2)]
    with grpc.insecure_channel(address, options=OPTIONS) as channel:
        stub = rpc.PlacementServiceStub(channel)
        request = wanted(request_id, uuids)
        answer = place(stub, request)
        if answer is None:
            print("nobody answers; ask again with the same request id")
            return 4
        if not answer.granted:
            # "No" is an answer, not an error.
            say_why(answer)
            return 1
        for placement in answer.placements:
            pools = ",".join(placement.pools)
            print(f"placed {placement.claim_id} {placement.host} {placement.uuid} {pools}")

        again = stub.Place(request, timeout=DEADLINE_S)
        print("again the same" if again == answer else "again another answer")

        # Here the caller would make the guests: with these UUIDs, on these hosts, their disks in these pools.
        first, second = (placement.claim_id for placement in answer.placements)
        confirmed = stub.ConfirmClaims(pb.ConfirmClaimsRequest(claim_ids=[first]), timeout=DEADLINE_S)
        print("confirmed", shown(confirmed.claims[0]))

        # The other is not wanted any more.
        released = stub.ReleaseClaims(pb.ReleaseClaimsRequest(claim_ids=[second]), timeout=DEADLINE_S)
        print("released", *released.released_claim_ids)

        listed = stub.ListClaims(pb.ListClaimsRequest(), timeout=DEADLINE_S)
        for claim in listed.claims:
            print("listed", shown(claim))
    return 0


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    try:
        sys.exit(main(sys.argv[1], sys.argv[2] if len(sys.argv) == 3 else str(uuid.uuid4())))
    except grpc.RpcError as error:
        sys.exit(f"{error.code().name}: {error.details()}")
