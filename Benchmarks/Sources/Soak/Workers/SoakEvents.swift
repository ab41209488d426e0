import EventBus
import SoakAudit

/// The contents of an event of the soak.
struct SoakPayload: Codable, Sendable {
    /// The event's number.
    var number: UInt64
    /// Text of random length.
    var filler: String
    /// A checksum of the filler and the number.
    var checksum: UInt64

    /// Creates the contents of the event with this number.
    init(_ number: EventNumber) {
        var generator = SeededGenerator(seed: number.rawValue)
        let length = Int.random(in: 0...400, using: &generator)
        let letters = Array("abcdefghijklmnopqrstuvwxyz äöü\"\\\n")
        filler = String((0..<length).map { _ in letters[Int.random(in: 0..<letters.count, using: &generator)] })
        self.number = number.rawValue
        checksum = Self.checksum(number.rawValue, filler)
    }

    /// A Boolean value indicating whether the contents are as they were created.
    var isIntact: Bool { checksum == Self.checksum(number, filler) }

    /// FNV-1a.
    private static func checksum(_ number: UInt64, _ filler: String) -> UInt64 {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325 ^ number
        for byte in filler.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        // JSON numbers of other languages have 53 bits.
        return hash >> 11
    }
}

/// An event of one of the topics.
protocol SoakEvent: Event {
    static var soakTopic: SoakTopic { get }
    var payload: SoakPayload { get }
    init(payload: SoakPayload)
}

extension SoakEvent {
    var number: EventNumber { EventNumber(rawValue: payload.number) }
}

struct PlainEvent: SoakEvent {
    static let topic: Topic = "soak.plain"
    static let soakTopic = SoakTopic.plain
    var payload: SoakPayload
}

struct KeyedEvent: SoakEvent {
    static let topic: Topic = "soak.keyed"
    static let soakTopic = SoakTopic.keyed
    var payload: SoakPayload
    var partitionKey: String? { "\(number.stream)" }
}

struct InboxEvent: SoakEvent {
    static let topic: Topic = "soak.inbox"
    static let soakTopic = SoakTopic.inbox
    var payload: SoakPayload
}
