/** What a plugin's `agent.ts` may export: the half that runs on the machine. */

import type { DeltaCodec } from './delta-codec.ts';
import type { Imager } from './imager.ts';

export interface AgentHalf {
  readonly name: string;
  readonly codecs?: readonly DeltaCodec[];
  readonly imagers?: readonly Imager[];
}

/** Typed identity, for `export default defineAgentHalf({...})`. */
export function defineAgentHalf(half: AgentHalf): AgentHalf {
  return half;
}
