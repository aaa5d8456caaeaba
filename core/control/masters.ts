/** Masters, as administrators see and change them. */

import { isAbsolute } from 'node:path';
import type { ApplianceControl } from '../contracts/control.ts';
import { formatMaster, parseMasterName } from '../domain/master.ts';
import { OverdubError } from '../errors.ts';
import { findMaster } from '../operations/images.ts';
import type { ControlDeps } from './deps.ts';

type MasterControl = Pick<ApplianceControl, 'importMaster' | 'listMasters' | 'getMaster' | 'removeMaster'>;

export function masterControl({ catalogue, repository, engine }: ControlDeps): MasterControl {
  return {
    async importMaster({ name, source, allowUnbootable }, by) {
      const parsed = parseMasterName(name);
      if (parsed === undefined || parsed.version !== undefined) {
        throw new OverdubError(
          'INPUT_INVALID',
          `${JSON.stringify(name)} cannot name a master.`,
          'Use lower-case letters, digits, dot, dash and underscore; the version is given by the import.',
        );
      }
      if (!isAbsolute(source) || source.includes('\0')) {
        throw new OverdubError(
          'INPUT_INVALID',
          `The source ${JSON.stringify(source)} is not an absolute path.`,
          'Name a directory, a tar or an OCI archive on the appliance by its absolute path.',
        );
      }
      return engine.submit({
        kind: 'import',
        parameters: { name, source, allowUnbootable: allowUnbootable ?? false },
        requestedBy: by,
      });
    },
    listMasters: () => repository.listMasters(),
    getMaster: (ref) => findMaster(repository, parseMaster(ref)),
    async removeMaster(ref) {
      const master = await findMaster(repository, parseMaster(ref));
      const users = (await catalogue.servers.list()).filter(
        (server) => server.master?.name === master.name && server.master.version === master.version,
      );
      if (users.length > 0) {
        throw new OverdubError(
          'CONFLICT',
          `${formatMaster(master)} is the master of ${users.map((server) => server.name).join(', ')}.`,
          'Remove those servers first.',
        );
      }
      await repository.removeMaster(master.name, master.version);
    },
  };
}

/** INPUT_INVALID. */
export function parseMaster(ref: string): { name: string; version?: number } {
  const parsed = parseMasterName(ref);
  if (parsed !== undefined) return parsed;
  throw new OverdubError(
    'INPUT_INVALID',
    `${JSON.stringify(ref)} names no master.`,
    'Write web for the newest, or web@3.',
  );
}
