// koffi's JavaScript. `npm run build` bundles it, too: what is left to install are its binaries, @koromix/koffi-*,
// which need no install script.

module.exports = require('koffi');
