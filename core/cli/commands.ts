/** Every command of the core. Plugins add theirs. */

import type { Command } from './command.ts';
import { applianceCommands } from './commands/appliance.ts';
import { configCommands } from './commands/config.ts';
import { deltaCommands } from './commands/delta.ts';
import { doctorCommand } from './commands/doctor.ts';
import { lookCommands } from './commands/look.ts';
import { machineCommands } from './commands/machine.ts';
import { masterCommands } from './commands/master.ts';
import { operationCommands } from './commands/operation.ts';
import { repositoryCommands } from './commands/repository.ts';
import { serverCommands } from './commands/server.ts';
import { snapshotCommands } from './commands/snapshot.ts';
import { timeTravelCommands } from './commands/time-travel.ts';
import { tokenCommands } from './commands/token.ts';

export const COMMANDS: readonly Command[] = [
  ...applianceCommands,
  doctorCommand,
  ...configCommands,
  ...machineCommands,
  ...masterCommands,
  ...serverCommands,
  ...snapshotCommands,
  ...timeTravelCommands,
  ...lookCommands,
  ...repositoryCommands,
  ...operationCommands,
  ...tokenCommands,
  ...deltaCommands,
];
