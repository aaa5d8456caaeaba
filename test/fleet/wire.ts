/**
 * DHCP as the wire at the appliance has it, by the kernel's own clock: how late an answer is, whoever else is late. What
 * the fleet measures has its own lateness in it; this has not.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { decodeDhcp, MESSAGE, messageType } from '@overdub/lib-netboot';
import { type AnswerTimes, quantiles } from './quantiles.ts';

export interface WireReport extends AnswerTimes {
  /** Questions that came more than once before their answer left. */
  readonly repeated: number;
  /** Questions that no answer followed. */
  readonly unanswered: number;
  /** Packets that the capture lost; 0, or the figures are no proof. */
  readonly lost: number;
  readonly discover: AnswerTimes;
  readonly request: AnswerTimes;
}

/** libpcap hands over what it holds once a second (packet(7), TPACKET_V3); what is younger would be lost at the end. */
const DRAIN_MS = 2500;
/** pcap-savefile(5), with nanoseconds, written by this machine. */
const MAGIC = 0xa1b23c4d;
const [FILE_HEADER, PACKET_HEADER, ETHERNET] = [24, 16, 14];

export class WireWatch {
  readonly #child: ChildProcess;
  readonly #pieces: Buffer[] = [];
  #said = '';

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.stdout?.on('data', (piece: Buffer) => this.#pieces.push(piece));
    child.stderr?.on('data', (piece) => {
      this.#said += piece;
    });
  }

  /** `prefix` puts the command where the appliance is. Resolves once packets are seen; needs root and tcpdump. */
  static async open(prefix: readonly string[], device: string): Promise<WireWatch> {
    const capture = ['tcpdump', '-i', device, '-n', '-p', '-Z', 'root', '-B', '16384', '-w', '-'];
    const filter = ['--time-stamp-precision=nano', 'udp', 'port', '67'];
    const [program = '', ...rest] = [...prefix, ...capture, ...filter];
    const watch = new WireWatch(spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'] }));
    await watch.#listening();
    return watch;
  }

  /** Ends the capture. */
  async report(): Promise<WireReport> {
    if (this.#child.exitCode !== null) throw new Error(`tcpdump has ended: ${this.#said}`);
    await new Promise((resolve) => setTimeout(resolve, DRAIN_MS));
    const closed = once(this.#child, 'close');
    this.#child.kill('SIGINT');
    await closed;
    const lost = /(\d+) packets? dropped by kernel/.exec(this.#said)?.[1];
    if (lost === undefined) throw new Error(`tcpdump does not say what it lost: ${this.#said}`);
    return { ...answerTimes(Buffer.concat(this.#pieces)), lost: Number(lost) };
  }

  /** Idempotent; also after {@link report}. */
  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const closed = once(this.#child, 'close');
    this.#child.kill('SIGKILL');
    await closed;
  }

  async #listening(): Promise<void> {
    while (!this.#said.includes('listening on')) {
      await Promise.race([
        once(this.#child.stderr as NodeJS.ReadableStream, 'data'),
        once(this.#child, 'close'),
      ]);
      if (this.#child.exitCode !== null) throw new Error(`tcpdump does not start: ${this.#said}`);
    }
  }
}

interface Exchange {
  readonly type: number;
  readonly askedAt: number;
  answered: boolean;
}

/** From the first message of a question to the first answer to it, milliseconds. Exported for its test. */
export function answerTimes(pcap: Buffer): Omit<WireReport, 'lost'> {
  const open = new Map<string, Exchange>();
  const times = { discover: [] as number[], request: [] as number[] };
  let repeated = 0;
  for (const { at, payload } of packetsOf(pcap)) {
    const { packet } = decodeDhcp(payload);
    if (packet === undefined) continue;
    const type = messageType(packet);
    if (packet.op === 1 && (type === MESSAGE.discover || type === MESSAGE.request)) {
      const key = `${packet.xid} ${type}`;
      const asked = open.get(key);
      if (asked === undefined) open.set(key, { type, askedAt: at, answered: false });
      else repeated += 1;
    } else if (packet.op === 2) {
      const asked = open.get(`${packet.xid} ${type === MESSAGE.offer ? MESSAGE.discover : MESSAGE.request}`);
      if (asked === undefined || asked.answered) continue;
      asked.answered = true;
      times[asked.type === MESSAGE.discover ? 'discover' : 'request'].push(at - asked.askedAt);
    }
  }
  return {
    ...quantiles([...times.discover, ...times.request]),
    repeated,
    unanswered: [...open.values()].filter(({ answered }) => !answered).length,
    discover: quantiles(times.discover),
    request: quantiles(times.request),
  };
}

/** UDP payloads of whole IPv4 packets on Ethernet, with their time in milliseconds since the first. */
function* packetsOf(pcap: Buffer): Generator<{ readonly at: number; readonly payload: Buffer }> {
  if (pcap.length < FILE_HEADER || pcap.readUInt32LE(0) !== MAGIC) throw new Error('tcpdump wrote no pcap');
  let first: number | undefined;
  for (let from = FILE_HEADER; from + PACKET_HEADER <= pcap.length; ) {
    const seconds = pcap.readUInt32LE(from);
    first ??= seconds;
    const at = (seconds - first) * 1000 + pcap.readUInt32LE(from + 4) / 1e6;
    const end = from + PACKET_HEADER + pcap.readUInt32LE(from + 8);
    const ip = from + PACKET_HEADER + ETHERNET;
    const udp = ip + ((pcap[ip] ?? 0) & 15) * 4;
    yield { at, payload: pcap.subarray(udp + 8, end) };
    from = end;
  }
}
