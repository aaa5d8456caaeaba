/** The half that runs on machines: in the ramdisk, and in the installed server. */

import { defineAgentHalf } from '@overdub/core/agent';
import { treeImager } from './imager.ts';

export default defineAgentHalf({ name: 'imaging-tree', imagers: [treeImager] });
