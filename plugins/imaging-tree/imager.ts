/** The tree imager: scans and restores Linux root filesystems, file by file. */

import type { Imager } from '@overdub/core/agent';
import { diskFeature } from './disk/feature.ts';
import { applyTree } from './tree/apply.ts';
import { openTree } from './tree/open.ts';
import { scanTree } from './tree/scan.ts';

/** See {@link Imager}. Holds no state; every call stands alone. */
export const treeImager: Imager = {
  kind: 'tree',
  scan: (root, options) => scanTree(root, options),
  openTree,
  apply: applyTree,
  disks: diskFeature,
};
