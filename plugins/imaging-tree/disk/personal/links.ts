/** The machine's network interfaces, bound to the names that the server's configuration knows. */

import type { NicFacts } from '@overdub/core/agent';
import { RootFiles } from '../root-files.ts';

const DIRECTORY = 'etc/systemd/network';

/**
 * One systemd.link(5) file an interface: `lan0` is the first with a link (the one that netbooted), then the others
 * in order. Files of another machine are removed. Idempotent.
 */
export function renderInterfaceLinks(root: string, nics: readonly NicFacts[]): void {
  const files = new RootFiles(root);
  try {
    const wanted = interfaceLinks(nics);
    for (const name of files.list(DIRECTORY)) {
      if (/^10-overdub-.*\.link$/.test(name) && !wanted.has(name)) files.remove(`${DIRECTORY}/${name}`);
    }
    for (const [name, text] of wanted) files.write(`${DIRECTORY}/${name}`, text);
  } finally {
    files.close();
  }
}

/** File name → text. */
export function interfaceLinks(nics: readonly NicFacts[]): Map<string, string> {
  const ordered = [...nics.filter(({ link }) => link === true), ...nics.filter(({ link }) => link !== true)];
  return new Map(
    ordered.map(({ mac }, index) => [
      `10-overdub-lan${index}.link`,
      `# Rendered by Overdub for this machine; never part of a snapshot.\n[Match]\nPermanentMACAddress=${mac}\n\n[Link]\nName=lan${index}\n`,
    ]),
  );
}
