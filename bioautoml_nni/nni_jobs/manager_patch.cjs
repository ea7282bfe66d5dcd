// Loaded into NNI's manager (Node) before anything else, by NODE_OPTIONS=--require. Nothing on disk is changed.
//
// 1. Servers that name no host listen on 127.0.0.1 instead of every interface; BIOAUTOML_NNI_HOST names another.
// 2. The route that serves files of a trial takes base names only; NNI's own reads any file of the user (..%2f).
// 3. A trial gets the settings that it was made with; NNI's own gives those of the first to the first that asks, so
//    that with several trials at once the web UI shows results beside the settings of another.
// 4. A trial that an assessor stopped is shown as stopped early; NNI's own says that the user cancelled it.
// 5. A tuner has a minute to start; NNI's own ends the experiment after ten seconds, which a busy machine needs.
// 6. The GPU scheduler places a trial that asks for as many GPUs as there are, and waits between two attempts.
// 7. Trials on other machines, by SSH: see remote_patch.cjs.
'use strict';

const net = require('net');
const Module = require('module');
const patchRemote = require('./remote_patch.cjs');

const host = process.env.BIOAUTOML_NNI_HOST || '127.0.0.1';
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (...args) {
    if (typeof args[0] === 'object' && args[0] !== null && args[0].port !== undefined && !args[0].host) {
        args[0] = { ...args[0], host };
    } else if ((typeof args[0] === 'number' || /^\d+$/.test(args[0])) && typeof args[1] !== 'string') {
        // listen(port), listen(port, undefined), listen(port, callback), listen(port, backlog)
        if (args.length > 1 && args[1] === undefined) {
            args[1] = host;
        } else {
            args.splice(1, 0, host);
        }
    }
    return listen.apply(this, args);
};

function wrap(prototype, name, make) {
    if (prototype && typeof prototype[name] === 'function' && !prototype[name].bioautoml) {
        prototype[name] = make(prototype[name]);
        prototype[name].bioautoml = true;
    }
}

const TUNER_START = 60000; // milliseconds that a tuner has to connect
const PAUSE = 5000; // milliseconds between two attempts to place a trial that found no GPU

function patch(exported) {
    if (!exported || typeof exported !== 'object') {
        return;
    }
    patchRemote(exported, wrap);
    const service = Object.getOwnPropertyDescriptor(exported, 'V3asV1');
    if (service && typeof service.value === 'function') {
        wrap(service.value.prototype, 'getTrialFile', (original) => function (id, name, ...rest) {
            if (typeof name !== 'string' || name !== require('path').basename(name) || name.startsWith('..')) {
                return Promise.reject(new Error('only files of the trial itself are served'));
            }
            return original.call(this, id, name, ...rest);
        });
        wrap(service.value.prototype, 'cancelTrialJob', (original) => function (id, early) {
            if (this.trialJobs[id]) { // the original says so after the trial has ended, which is too late
                this.trialJobs[id].isEarlyStopped = Boolean(early);
            }
            return original.call(this, id, early);
        });
        wrap(service.value.prototype, 'submitTrialJob', (original) => async function (form) {
            const trial = await original.call(this, form);
            const value = form.hyperParameters.value;
            const place = this.parameters.indexOf(value);
            if (place >= 0 && !this.allocatedParameters.has(trial.id)) {
                this.parameters.splice(place, 1);
                this.allocatedParameters.set(trial.id, value);
            }
            return trial;
        });
    }
    const tuner = Object.getOwnPropertyDescriptor(exported, 'getTunerServer');
    if (tuner && typeof tuner.value === 'function') {
        wrap(Object.getPrototypeOf(tuner.value()), 'init', (original) => function () {
            if (this.connect.settled) {
                return original.call(this);
            }
            setTimeout(() => {
                if (!this.connect.settled) {
                    this.connect.reject(new Error('the tuner did not start within a minute; see log/dispatcher.log'));
                }
            }, TUNER_START);
            return this.connect.promise;
        });
    }
    const scheduler = Object.getOwnPropertyDescriptor(exported, 'TaskScheduler');
    if (scheduler && typeof scheduler.value === 'function') {
        wrap(scheduler.value.prototype, 'update', (original) => async function (force) {
            try {
                return await original.call(this, force);
            } catch (error) {
                if (force) {
                    throw error;
                }
                console.error('GPU information could not be updated:', error); // nobody awaits this call
            }
        });
        wrap(scheduler.value.prototype, 'schedule', (original) => async function (experiment, trial, wanted, ...rest) {
            let placed = null;
            const all = wanted > 0 && Math.round(wanted) === this.gpus.length;
            if (all) { // the original refuses wanted >= number; one more that is never the best lets it through
                this.gpus.push({ index: -1, util: 9, coreUtil: 9, memUtil: 9, active: true, computeActive: true });
            }
            try {
                const answer = original.call(this, experiment, trial, wanted, ...rest); // runs to its end at once
                if (all) {
                    this.gpus.pop();
                }
                placed = await answer;
            } catch (error) {
                console.error('GPU scheduling failed, trying again:', error);
            }
            if (placed === null || placed === undefined) {
                await new Promise((resolve) => setTimeout(resolve, PAUSE));
            }
            return placed;
        });
    }
}

const load = Module._load;
Module._load = function (...args) {
    const exported = load.apply(this, args);
    try {
        patch(exported);
    } catch (error) {
        console.error('bioautoml: a part of the manager could not be patched:', error);
    }
    return exported;
};
