/** Every operation there is. */

import type { OperationDefinition } from './definition.ts';
import { gc } from './gc.ts';
import { importMaster } from './import.ts';
import { move } from './move.ts';
import { optimise } from './optimise.ts';
import { provision } from './provision.ts';
import { prune } from './prune.ts';
import { repair } from './repair.ts';
import { rollback } from './rollback.ts';
import type { OperationServices } from './services.ts';
import { snapshot } from './snapshot.ts';
import { verify } from './verify.ts';

const ALL = [provision, snapshot, rollback, move, importMaster, prune, gc, verify, repair, optimise];

export function allOperations(services: OperationServices): OperationDefinition[] {
  return ALL.map((define) => define(services));
}
