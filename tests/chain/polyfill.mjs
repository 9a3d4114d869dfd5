// Promise.withResolvers, which a dependency of Lodestar's uses and Node 20 lacks.
Promise.withResolvers ??= function () {
  let resolve, reject;
  const promise = new this((a, b) => ((resolve = a), (reject = b)));
  return {promise, resolve, reject};
};
