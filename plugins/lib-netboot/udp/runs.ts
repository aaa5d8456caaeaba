/** Packets that lie one behind another in memory, for one system call. */

export interface Run {
  /** All of them. */
  readonly bytes: Uint8Array;
  readonly packets: readonly Uint8Array[];
}

/** The kernel's limits: UDP_MAX_SEGMENTS, and what one IPv4 datagram may hold. */
const MAX_SEGMENTS = 64;
const MAX_BYTES = 65_507;

/** As many packets of this length as one run may hold. */
export function runLength(segmentBytes: number): number {
  return Math.max(1, Math.min(MAX_SEGMENTS, Math.floor(MAX_BYTES / segmentBytes)));
}

/** The packets in order, in as few runs as there can be. All of a run but its last have `segmentBytes`. */
export function runsOf(packets: readonly Uint8Array[], segmentBytes: number): readonly Run[] {
  const most = runLength(segmentBytes);
  const runs: Uint8Array[][] = [];
  for (const packet of packets) {
    const run = runs.at(-1);
    const before = run?.at(-1);
    const goesOn =
      run !== undefined &&
      before !== undefined &&
      run.length < most &&
      before.length === segmentBytes &&
      packet.length <= segmentBytes &&
      packet.buffer === before.buffer &&
      packet.byteOffset === before.byteOffset + before.length;
    if (goesOn) run.push(packet);
    else runs.push([packet]);
  }
  return runs.map((run) => ({ bytes: joined(run), packets: run }));
}

function joined(run: readonly Uint8Array[]): Uint8Array {
  const first = run[0] as Uint8Array;
  const bytes = run.reduce((sum, packet) => sum + packet.length, 0);
  return new Uint8Array(first.buffer, first.byteOffset, bytes);
}
