// A node that lets a number of messages go round, and says how long it took until enough of them came back.
"use strict";

module.exports = function (RED) {
  function Gate(config) {
    RED.nodes.createNode(this, config);
    const node = this;
    let left = 0;
    let under_way = 0;
    let finished = null;
    let returned = [];
    // Under runtimeSyncDelivery a send returns only after the whole round: sent from here, rounds would nest without end.
    function pump() {
      const round = returned;
      returned = [];
      for (const msg of round) {
        node.send(msg);
      }
    }
    node.on("input", function (msg, send, done) {
      left -= 1;
      if (left === 0) {
        finished.mark();
      }
      if (left > 0 && RED.settings.runtimeSyncDelivery) {
        if (returned.push(msg) === 1) {
          setImmediate(pump);
        }
      } else if (left > 0) {
        send(msg);
      } else {
        under_way -= 1;
        if (under_way === 0) {
          finished.resolve();
        }
      }
      done();
    });
    node.turn = function (window, messages) {
      return new Promise(function (resolve) {
        const cpu = process.cpuUsage();
        const begin = process.hrtime.bigint();
        const result = {};
        finished = {
          mark: function () {
            const used = process.cpuUsage(cpu);
            result.wall_s = Number(process.hrtime.bigint() - begin) / 1e9;
            result.cpu_s = (used.user + used.system) / 1e6;
          },
          resolve: function () {
            resolve(result);
          },
        };
        left = messages;
        under_way = window;
        for (let i = 0; i < window; i++) {
          node.send({ payload: i });
        }
      });
    };
  }
  RED.nodes.registerType("gate", Gate);
};
