/** Which switch port each network interface is plugged into, told to the appliance once the switch has said it. */

import type { MachineFacts, NicNeighbour } from '@overdub/core/agent';
import { type LldpListenOptions, type LldpNeighbour, listenLldp } from '@overdub/lib-netboot';

/** Switches of several interfaces speak at about the same time: what comes within this is told at once, milliseconds. */
const GATHER_MS = 2000;
/** The appliance is away, or refuses: told again after this, milliseconds. */
const AGAIN_MS = 30_000;

export interface NeighbourOptions {
  readonly facts: MachineFacts;
  /** Has the appliance take note of these facts; may reject with anything. */
  readonly tell: (facts: MachineFacts) => Promise<void>;
  readonly print: (line: string) => void;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly signal: AbortSignal;
  /** Default: packet sockets of this machine. */
  readonly listen?: (options: LldpListenOptions) => Promise<never>;
}

/** Listens beside everything else until it is aborted, then resolves. Holds nobody up, and never rejects. */
export async function reportNeighbours(options: NeighbourOptions): Promise<void> {
  const { facts, print, sleep, signal, listen = listenLldp } = options;
  const heard = new Map<string, LldpNeighbour>();
  const reporter = new Reporter(options, heard);
  try {
    await listen({
      interfaces: facts.nics.map(({ name }) => name),
      sleep: (ms) => sleep(ms, signal),
      onDeaf: (device, reason) => print(`no LLDP on ${device}: ${reason}`),
      onNeighbour: (device, neighbour) => {
        // One that takes its leave is still where the cable goes.
        if (neighbour === undefined) return;
        heard.set(device, neighbour);
        print(
          `${device} is plugged into ${neighbour.systemName ?? neighbour.chassisId}, ${neighbour.portId}`,
        );
        reporter.changed();
      },
    });
  } catch (error) {
    if (!signal.aborted) print(`LLDP is not listened to: ${String(error)}`);
  }
  await reporter.settled();
}

/** Tells what was heard: one report at a time, the last one complete. */
class Reporter {
  readonly #options: NeighbourOptions;
  readonly #heard: ReadonlyMap<string, LldpNeighbour>;
  #news = false;
  #running: Promise<void> | undefined;

  constructor(options: NeighbourOptions, heard: ReadonlyMap<string, LldpNeighbour>) {
    this.#options = options;
    this.#heard = heard;
  }

  changed(): void {
    this.#news = true;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  async settled(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    const { facts, tell, print, sleep, signal } = this.#options;
    let pause = GATHER_MS;
    while (this.#news && !signal.aborted) {
      try {
        await sleep(pause, signal);
        this.#news = false;
        await tell(withNeighbours(facts, this.#heard));
        pause = GATHER_MS;
      } catch (error) {
        if (signal.aborted) return;
        this.#news = true;
        pause = AGAIN_MS;
        print(`the appliance did not take the LLDP neighbours: ${String(error)}`);
      }
    }
  }
}

function withNeighbours(facts: MachineFacts, heard: ReadonlyMap<string, LldpNeighbour>): MachineFacts {
  const nics = facts.nics.map((nic) => {
    const { ttlSeconds: _ttl, ...neighbour } = heard.get(nic.name) ?? { ttlSeconds: 0 };
    return 'chassisId' in neighbour ? { ...nic, neighbour: neighbour satisfies NicNeighbour } : nic;
  });
  return { ...facts, nics };
}
