/** An imager that opens files in a test's own way. */

import type { Imager, TreeFile } from '@overdub/core';
import { treeImager } from '../../plugins/imaging-tree/imager.ts';

type Opened = TreeFile | Promise<TreeFile>;

/** The tree imager; each file is opened by `open`, to which `really` is how it opens them itself. */
export function openingBy(open: (path: string, really: () => Opened) => Opened): Imager {
  return {
    ...treeImager,
    openTree(root) {
      const tree = treeImager.openTree(root);
      return { open: (path) => open(path, () => tree.open(path)), close: () => tree.close() };
    },
  };
}
