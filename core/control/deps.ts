import type { PluginStatus } from '../contracts/control.ts';
import type { Controllers } from '../operations/controller-facts.ts';
import type { Engine } from '../operations/engine.ts';
import type { OperationServices } from '../operations/services.ts';

/** What the control face works with. */
export interface ControlDeps extends OperationServices {
  readonly engine: Engine;
  readonly controllers: Controllers;
  readonly version: string;
  readonly startedAt: string;
  readonly state: string;
  plugins(): PluginStatus[];
}
