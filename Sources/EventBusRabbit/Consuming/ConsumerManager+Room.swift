import ConnectionThread
import EventBus
import Synchronization

/// The number of consumers for which the broker grants channels.
extension ConsumerManager {
    /// An error that sends a consumer to another manager, because the connection has channels for fewer consumers.
    struct NoRoom: Error {
        /// The number of consumers for which it has channels.
        let room: Int
    }

    /// The number of channels for declarations and checks.
    private static let spareChannels = 8

    /// Returns the number of consumers for a number of channels. A consumer that is being attached again briefly has two.
    static func room(forChannels maximum: Int) -> Int {
        max(1, (maximum - spareChannels) / 2)
    }

    /// Limits the number of consumers to the channels of a new connection. Consumers that have never been attached and
    /// have no place are sent to another manager.
    func makeRoom(_ channelMaximum: Int) {
        // The connection may have ended already.
        guard channelMaximum > 0 else { return }
        let room = Self.room(forChannels: channelMaximum)
        self.room.store(room, ordering: .relaxed)
        for id in sessions.keys.sorted().dropFirst(room) {
            guard let session = sessions[id], session.attachWaiter != nil else { continue }
            session.isSurplus = true
            session.resolveAttach(.failure(EventBusError(.unavailable, "the connection has no channel for it")))
        }
    }

    /// Throws if the sessions have taken all places. The consumer's place was reserved before they were counted.
    func checkRoom() throws(NoRoom) {
        if sessions.count >= room.load(ordering: .relaxed) { try throwNoRoom() }
    }

    func throwNoRoom() throws(NoRoom) {
        throw NoRoom(room: room.load(ordering: .relaxed))
    }
}
