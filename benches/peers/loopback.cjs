// Portkey listens on every interface and has no option for another one: a benchmark stays on this machine.
const { Server } = require('node:net');

const listen = Server.prototype.listen;
Server.prototype.listen = function (first, ...rest) {
  if (typeof first === 'number') return listen.call(this, { port: first, host: '127.0.0.1' }, ...rest.filter((one) => typeof one === 'function'));
  if (first && first.port !== undefined) return listen.call(this, { ...first, host: '127.0.0.1' }, ...rest);
  return listen.call(this, first, ...rest);
};
