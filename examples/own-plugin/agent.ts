/** The half that runs on machines: the codec, so that deltas are made there. */

import { defineAgentHalf } from '@overdub/core/agent';
import { copyCodec } from './codec.ts';

export default defineAgentHalf({ name: 'site-example', codecs: [copyCodec] });
