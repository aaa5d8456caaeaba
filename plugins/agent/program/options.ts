/** What the loader, or a command, tells the program when it starts it. */

import type { AgentHalf, Clock, Whereabouts } from '@overdub/core/agent';

export interface AgentOptions {
  readonly url: string;
  readonly where: Whereabouts;
  /** Of this boot of the machine (`/proc/sys/kernel/random/boot_id`). */
  readonly bootId: string;
  /** One of the two; `resume` is an earlier session of the same boot, for when the nonce no longer works. */
  readonly nonce?: string;
  readonly credential?: string;
  readonly resume?: string;
  readonly server?: string;
  readonly generation?: number;
  /** The agent's own directory: records, results, signatures. */
  readonly stateDir: string;
  /** What is restored or taken in the server: `/`, unless a directory stands in for a machine. */
  readonly root: string;
  /** Digest of the running bundle; another one served by the appliance ends the program when it is idle. */
  readonly bundle?: string;
  /** Where the loader and Node lie, to be put into an installed server. Default: `/overdub/loader.mjs`, this Node. */
  readonly loader?: string;
  readonly node?: string;
  readonly print: (line: string) => void;
  readonly onSession?: (token: string) => Promise<void>;
  readonly signal: AbortSignal;
  readonly clock?: Clock;
}

/** Why the program ended by itself. */
export type AgentEnd = 'upgrade' | 'reboot';

/** The imager of a kind among the halves. */
export function imagerOf(halves: readonly AgentHalf[], kind: string) {
  return halves.flatMap((half) => half.imagers ?? []).find((imager) => imager.kind === kind);
}

export function codecsOf(halves: readonly AgentHalf[]) {
  return halves.flatMap((half) => half.codecs ?? []);
}
