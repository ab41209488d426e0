/// A handler that was cancelled, because its time limit has passed or its delivery was revoked, has the cancellation grace
/// to end. If it ignores that, its delivery is abandoned: it keeps its worker, but nothing else waits for it. The next
/// delivery of its key waits until the broker has taken the abandoned one back, since another instance may then handle it
/// too, and its time limit has passed.
extension DeliveryQueue {
    /// Abandons the delivery of a worker that was cancelled at its time limit, unless its handler ends in time.
    func noteExpiry(of worker: Worker) {
        let current = state.withLock { state -> (place: Int, delivery: Delivery)? in
            guard let place = state.workers.firstIndex(where: { $0 === worker }), let delivery = state.current[place]
            else { return nil }
            return (place, delivery)
        }
        if let current { abandonAfterGrace(current.delivery, of: worker, at: current.place) }
    }

    /// Abandons the delivery of a worker that is being cancelled, unless its handler ends in time.
    func abandonAfterGrace(_ delivery: Delivery, of worker: Worker, at place: Int) {
        let grace = options.cancellationGrace
        let first = clock.now.advanced(by: grace)
        // Detached, because the task must not carry the context of an event.
        Task.detached { [clock, weak self, weak worker] in
            var end = first
            while true {
                try? await clock.sleep(until: end)
                end = clock.now.advanced(by: max(grace, .seconds(1)))
                guard let self, let worker, !self.abandon(delivery, of: worker, at: place) else { return }
            }
        }
    }

    /// Abandons the delivery of a worker, unless the worker has finished it.
    ///
    /// - Returns: `false` if its handler has ended and the worker is about to finish it.
    private func abandon(_ delivery: Delivery, of worker: Worker, at place: Int) -> Bool {
        var isEnding = false
        let (waiters, isDrained, onAbandonedProbe) = state.withLock {
            state -> (IdleWaiters?, Bool, (@Sendable () -> Void)?) in
            // A later attempt at the same delivery has another worker.
            guard state.current[place]?.token == delivery.token, state.workers[place] === worker else {
                return (nil, false, nil)
            }
            isEnding = worker.isEnding
            if isEnding { return (nil, false, nil) }
            worker.isAbandoned = true
            state.lanes.abandon(delivery)
            if worker.isExpired, state.isRevoked(delivery) { state.lanes.leaveKey(ofAbandoned: delivery) }
            let wasProbe = state.lanes.endProbe(delivery.token)
            let isDrained = state.lanes.isClosed && state.lanes.active == 0
            return (state.takeIdleWaiters(), isDrained, wasProbe ? state.onAbandonedProbe : nil)
        }
        if isDrained { drained.raise() }
        waiters?.raise()
        onAbandonedProbe?()
        wakeWorkers()
        return !isEnding
    }

    // MARK: Probes

    /// Sets the closure that is called when the delivery that probes is abandoned.
    func onAbandonedProbe(_ body: @escaping @Sendable () -> Void) {
        state.withLock { $0.onAbandonedProbe = body }
    }

    /// Ends the probe of a delivery whose attempt has ended.
    ///
    /// - Returns: `true` if its outcome counts. It does not if the delivery was abandoned before.
    func endProbe(_ tracked: TrackedDelivery) -> Bool {
        tracked.isProbe && state.withLock { $0.lanes.endProbe(tracked.delivery.token) }
    }
}
