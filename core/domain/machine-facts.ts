/** Facts that come at different times, put together. Pure. */

import type { MachineFacts, NicFacts, NicNeighbour } from './machine.ts';

const TEXTS = ['chassisId', 'portId', 'systemName', 'portDescription'] as const;
const MAX_TEXT = 255;

/**
 * What an agent reports now, with the neighbours of interfaces it does not know yet (switches speak every 30 s): those
 * that were reported last. What comes as a neighbour and is none is left out.
 */
export function withKnownNeighbours(reported: MachineFacts, before: MachineFacts | undefined): MachineFacts {
  const known = new Map(before?.nics.map(({ mac, neighbour }) => [mac, neighbour]));
  return { ...reported, nics: reported.nics.map((nic) => withNeighbour(nic, known.get(nic.mac))) };
}

function withNeighbour({ neighbour, ...nic }: NicFacts, known: NicNeighbour | undefined): NicFacts {
  const found = checkedNeighbour(neighbour) ?? known;
  return found === undefined ? nic : { ...nic, neighbour: found };
}

/** The agent's word, bounded: a neighbour is whatever a switch, or who passes for one, says. */
function checkedNeighbour(value: unknown): NicNeighbour | undefined {
  const { vlan, ...rest } = (value ?? {}) as Record<string, unknown>;
  const texts = TEXTS.flatMap((key) => {
    const text = rest[key];
    return typeof text === 'string' && text !== '' ? [[key, text.slice(0, MAX_TEXT)] as const] : [];
  });
  const { chassisId, portId, ...more } = Object.fromEntries(texts) as Partial<NicNeighbour>;
  if (chassisId === undefined || portId === undefined) return undefined;
  return { chassisId, portId, ...more, ...(Number.isSafeInteger(vlan) ? { vlan: vlan as number } : {}) };
}
