extension EventBus: ActivityReporting {
    /// The activity monitor of the in-memory broker that the bus is connected to, or `nil` on every other transport.
    package var activityMonitor: ActivityMonitor? { (transport as? any ActivityMonitoring)?.activityMonitor }

    /// Returns the events that asynchronous local listeners have. The broker knows the events that handlers have.
    package func activity() -> Activity {
        local.pendingActivity()
    }
}
