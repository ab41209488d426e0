import EventBus
import FoundationEssentials
import Testing

@Suite("LocalEmitter", .timeLimit(.minutes(1)))
struct LocalEmitterTests {
    let emitter = LocalEmitter()

    @Test func `a typed listener gets events of its type and no others`() {
        let seen = Notes<OrderPlaced>()
        emitter.on(OrderPlaced.self) { seen.add($0) }
        emitter.emit(OrderPlaced(number: 1))
        emitter.emit(OrderShipped(number: 2))
        emitter.emit(OrderPlaced(number: 3))
        #expect(seen.values.map(\.number) == [1, 3])
    }

    @Test func `a typed listener gets an event emitted as any Event`() {
        let seen = Notes<Int>()
        emitter.on(OrderPlaced.self) { seen.add($0.number) }
        let event: any Event = OrderPlaced(number: 7)
        emitter.emit(event)
        #expect(seen.values == [7])
    }

    @Test func `a typed listener ignores another type of the same topic`() {
        struct Impostor: Event { static let topic = OrderPlaced.topic }
        let typed = Notes<Int>()
        let byPattern = Notes<Topic>()
        emitter.on(OrderPlaced.self) { typed.add($0.number) }
        emitter.on("order.placed") { byPattern.add($0.topic) }
        emitter.emit(Impostor())
        #expect(typed.values.isEmpty)
        #expect(byPattern.values == ["order.placed"])
    }

    @Test(
        arguments: [
            ("order.placed", [1]), ("order.*", [1]), ("order.#", [1, 2]), ("#", [1, 2, 3]), ("*.*", [1, 3]),
            ("#.express", [2]), ("stock.*.*", []),
        ] as [(TopicPattern, [Int])]
    )
    func `a pattern listener gets what its pattern matches`(pattern: TopicPattern, expected: [Int]) {
        let seen = Notes<Int>()
        emitter.on(pattern) { event in
            if let placed = event.as(OrderPlaced.self) { seen.add(placed.number) }
            if let shipped = event.as(OrderShipped.self) { seen.add(shipped.number) }
            if let stock = event.as(StockCounted.self) { seen.add(stock.count) }
        }
        emitter.emit(OrderPlaced(number: 1))
        emitter.emit(OrderShipped(number: 2))
        emitter.emit(StockCounted(count: 3))
        #expect(seen.values == expected)
    }

    @Test func `a local event offers its topic, itself, its bytes and nothing of another type`() throws {
        let seen = Notes<LocalEvent>()
        emitter.on("#") { seen.add($0) }
        emitter.emit(OrderPlaced(number: 5))
        let event = try #require(seen.values.first)
        #expect(event.topic == "order.placed")
        #expect(event.event as? OrderPlaced == OrderPlaced(number: 5))
        #expect(event.as(OrderShipped.self) == nil)
        let decoded = try JSONEventCodec().decode(OrderPlaced.self, from: event.payload())
        #expect(decoded == OrderPlaced(number: 5))
    }

    @Test func `a local event is encoded by the emitter's codec`() throws {
        struct Shouting: EventCodec {
            let contentType = "text/plain"
            func encode<Value: Encodable>(_ value: Value) throws -> [UInt8] { Array("\(value)!".utf8) }
            func decode<Value: Decodable>(_ type: Value.Type, from bytes: [UInt8]) throws -> Value {
                throw Refusal(reason: "write only")
            }
        }
        let seen = Notes<[UInt8]>()
        let emitter = LocalEmitter(codec: Shouting())
        emitter.on("#") { seen.add(try $0.payload()) }
        emitter.emit(StockCounted(count: 3))
        #expect(seen.values == [Array("StockCounted(count: 3)!".utf8)])
    }

    @Test func `an event that cannot be encoded is named in the error`() {
        struct Unwritable: Event {
            static let topic: Topic = "un.writable"
            init() {}
            init(from decoder: any Decoder) throws { throw Refusal(reason: "no") }
            func encode(to encoder: any Encoder) throws { throw Refusal(reason: "no") }
        }
        let errors = Notes<any Error>()
        let emitter = LocalEmitter { errors.add($0.error) }
        emitter.on("#") { _ = try $0.payload() }
        emitter.emit(Unwritable())
        let error = errors.values.first as? EventBusError
        #expect(error?.code == .encodingFailed)
        #expect(error?.message.contains("un.writable") == true)
        #expect(error?.underlying as? Refusal == Refusal(reason: "no"))
    }

    @Test func `typed listeners run before pattern listeners, each kind in order of registration`() {
        let order = Notes<String>()
        emitter.on("#") { _ in order.add("pattern 1") }
        emitter.on(OrderPlaced.self) { _ in order.add("typed 1") }
        emitter.on("order.*") { _ in order.add("pattern 2") }
        emitter.on(OrderPlaced.self) { _ in order.add("typed 2") }
        emitter.on("order.placed") { _ in order.add("pattern 3") }
        emitter.emit(OrderPlaced(number: 1))
        #expect(order.values == ["typed 1", "typed 2", "pattern 1", "pattern 2", "pattern 3"])
    }

    @Test func `a plain closure listens synchronously, also where it is registered in an async function`() async {
        let seen = Notes<String>()
        emitter.on(OrderPlaced.self) { _ in seen.add("typed") }
        emitter.on("#") { _ in seen.add("pattern") }
        emitter.once(OrderPlaced.self) { _ in seen.add("once") }
        emitter.once("#") { event in
            let topic = event.topic
            seen.add("once \(topic)")
        }
        @Sendable func named(_ event: OrderPlaced) { seen.add("function") }
        emitter.on(OrderPlaced.self, named)
        emitter.emit(OrderPlaced(number: 1))
        // No `idle()`, because everything so far ran inside `emit`.
        #expect(seen.values == ["typed", "once", "function", "pattern", "once order.placed"])
    }

    @Test func `listeners are counted by type, patterns included`() {
        #expect(!emitter.hasListeners(for: OrderPlaced.self))
        let typed = emitter.on(OrderPlaced.self) { _ in }
        emitter.on(OrderPlaced.self) { _ in }
        #expect(emitter.hasListeners(for: OrderPlaced.self))
        #expect(!emitter.hasListeners(for: OrderShipped.self))
        let pattern = emitter.on("order.#") { _ in }
        #expect(emitter.listenerCount == 3)
        #expect(emitter.listenerCount(for: OrderPlaced.self) == 3)
        #expect(emitter.listenerCount(for: OrderShipped.self) == 1)
        #expect(emitter.hasListeners(for: OrderShipped.self))
        #expect(!emitter.hasListeners(for: StockCounted.self))
        typed.remove()
        emitter.remove(pattern)
        #expect(emitter.listenerCount == 1)
        #expect(emitter.listenerCount(for: OrderPlaced.self) == 1)
        #expect(!emitter.hasListeners(for: OrderShipped.self))
    }

    @Test func `a listener that registers after an event was resolved gets the next one`() {
        let seen = Notes<String>()
        emitter.on(OrderPlaced.self) { _ in seen.add("first") }
        emitter.emit(OrderPlaced(number: 1))
        emitter.on(OrderPlaced.self) { _ in seen.add("second") }
        emitter.emit(OrderPlaced(number: 2))
        emitter.on("order.*") { _ in seen.add("third") }
        emitter.emit(OrderPlaced(number: 3))
        #expect(seen.values == ["first", "first", "second", "first", "second", "third"])
    }

    @Test func `hundreds of event types find their own listeners`() {
        let seen = Notes<String>()
        func listen<E: Event>(_ type: E.Type) { emitter.on(type) { _ in seen.add("\(E.self)") } }
        func grow<E: Event & DefaultMade>(_ type: E.Type, depth: Int) {
            listen(type)
            emitter.emit(E())
            if depth > 0 { grow(Nested<E>.self, depth: depth - 1) }
        }
        grow(Leaf.self, depth: 200)
        #expect(seen.values.count == 201)
        #expect(Set(seen.values).count == 201)
        func again<E: Event & DefaultMade>(_ type: E.Type, depth: Int) {
            emitter.emit(E())
            if depth > 0 { again(Nested<E>.self, depth: depth - 1) }
        }
        again(Leaf.self, depth: 200)
        #expect(seen.values.count == 402)
    }
}

private protocol DefaultMade { init() }

private struct Leaf: Event, DefaultMade {
    static let topic: Topic = "leaf"
}

private struct Nested<Inner: Event & DefaultMade>: Event, DefaultMade {
    static var topic: Topic { "nested" }
}
