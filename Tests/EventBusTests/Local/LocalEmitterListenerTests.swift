import EventBus
import Testing

@Suite("LocalEmitter: errors and re-entrancy", .timeLimit(.minutes(1)))
struct LocalEmitterListenerTests {
    @Test func `a listener that throws is reported and stops nobody`() {
        let failures = Notes<LocalListenerFailure>()
        let seen = Notes<String>()
        let emitter = LocalEmitter { failures.add($0) }
        emitter.on(OrderPlaced.self) { _ in seen.add("before") }
        let thrower = emitter.on(OrderPlaced.self) { _ in throw Refusal(reason: "typed") }
        emitter.on(OrderPlaced.self) { _ in seen.add("after") }
        emitter.on("order.*") { _ in throw Refusal(reason: "pattern") }
        emitter.on("#") { _ in seen.add("last") }
        emitter.emit(OrderPlaced(number: 1))
        #expect(seen.values == ["before", "after", "last"])
        #expect(failures.values.map { $0.error as? Refusal } == [Refusal(reason: "typed"), Refusal(reason: "pattern")])
        #expect(failures.values.map(\.topic) == ["order.placed", "order.placed"])
        #expect(failures.values.first?.listener === thrower)
        emitter.emit(OrderPlaced(number: 2))
        #expect(failures.values.count == 4)
    }

    @Test func `a failure says where the listener was registered`() {
        let failures = Notes<LocalListenerFailure>()
        let emitter = LocalEmitter { failures.add($0) }
        emitter.on(OrderPlaced.self, file: "Shop/Orders.swift", line: 12) { _ in throw Refusal(reason: "no") }
        let here = emitter.on("#") { _ in throw Refusal(reason: "no") }
        emitter.emit(OrderPlaced(number: 1))
        #expect(failures.values.first?.description.contains("listener at Shop/Orders.swift:12 failed") == true)
        #expect(here.file == #fileID)
        #expect(failures.values.last?.listener.line == here.line)
    }

    @Test func `a listener may emit, its own event included`() {
        let emitter = LocalEmitter()
        let seen = Notes<Int>()
        emitter.on(OrderPlaced.self) { event in
            seen.add(event.number)
            if event.number < 5 { emitter.emit(OrderPlaced(number: event.number + 1)) }
        }
        emitter.emit(OrderPlaced(number: 1))
        #expect(seen.values == [1, 2, 3, 4, 5])
    }

    @Test func `a listener registered by a listener gets the next event, not the present one`() {
        let emitter = LocalEmitter()
        let seen = Notes<Int>()
        emitter.once(OrderPlaced.self) { _ in
            emitter.on(OrderPlaced.self) { seen.add($0.number) }
            emitter.on("#") { _ in seen.add(0) }
        }
        emitter.emit(OrderPlaced(number: 1))
        #expect(seen.values.isEmpty)
        emitter.emit(OrderPlaced(number: 2))
        #expect(seen.values == [2, 0])
    }

    @Test func `a listener may remove itself and the others`() {
        let emitter = LocalEmitter()
        let seen = Notes<String>()
        emitter.on(OrderPlaced.self) { _ in
            seen.add("first")
            emitter.removeAll()
        }
        emitter.on(OrderPlaced.self) { _ in seen.add("second") }
        emitter.emit(OrderPlaced(number: 1))
        // The second listener was registered when this emit began, and is called for the last time.
        #expect(seen.values == ["first", "second"])
        emitter.emit(OrderPlaced(number: 2))
        #expect(seen.values == ["first", "second"])
    }

    @Test func `emits nested deeper than there are snapshots to hold work and release everything`() {
        let emitter = LocalEmitter()
        let seen = Notes<Int>()
        weak var canary: Canary?
        do {
            let strong = Canary()
            canary = strong
            emitter.on(OrderPlaced.self) { event in
                strong.sing()
                seen.add(event.number)
                if event.number == 200 { return }
                // A change between two levels, so that each level has its own table.
                let token = emitter.on(OrderShipped.self) { _ in }
                emitter.emit(OrderPlaced(number: event.number + 1))
                token.remove()
            }
        }
        emitter.emit(OrderPlaced(number: 1))
        #expect(seen.values == Array(1...200))
        emitter.emit(OrderPlaced(number: 200))
        #expect(seen.values.count == 201)
        #expect(canary != nil)
        emitter.removeAll()
        #expect(canary == nil)
    }
}
