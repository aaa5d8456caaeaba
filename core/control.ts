/** The one face of a running appliance: embedders, api-http and through it the CLI all use this. */

import type { ApplianceControl } from './contracts/control.ts';
import type { ControlDeps } from './control/deps.ts';
import { imageControl } from './control/images.ts';
import { machineControl } from './control/machines.ts';
import { masterControl } from './control/masters.ts';
import { repositoryControl } from './control/repository.ts';
import { serverControl } from './control/servers.ts';
import { snapshotControl } from './control/snapshots.ts';
import { tokenControl } from './control/tokens.ts';
import { isOpen } from './operations/live-operation.ts';

export function createControl(deps: ControlDeps): ApplianceControl {
  const { catalogue, repository, engine, events } = deps;
  return {
    async info() {
      const { version, startedAt, state } = deps;
      return { version, startedAt, plugins: deps.plugins(), state, repository: await repository.stats() };
    },
    ...machineControl(deps),
    ...masterControl(deps),
    ...serverControl(deps),
    ...snapshotControl(deps),
    ...imageControl(deps),
    ...repositoryControl(deps),
    ...tokenControl(deps),
    async listOperations(filter = {}) {
      // Open ones as they are now: their progress is written less often than it moves.
      const open = new Map(engine.open().map((operation) => [operation.id, operation]));
      const stored = await catalogue.operations.list(filter);
      return stored.map((operation) =>
        isOpen(operation) ? (open.get(operation.id) ?? operation) : operation,
      );
    },
    getOperation: (id) => engine.get(id),
    cancelOperation: (id, by) => engine.cancel(id, by),
    waitOperation: (id, options) => engine.wait(id, options),
    events: (signal) => events.listen(signal),
  };
}
