import EventBus
import EventBusInMemory
import Testing

/// Types of a service that have the names of exported ones.
private struct Cache {}
private struct Envelope {}
private struct Transport {}

@Suite("Names that a service has as well")
struct TypeAliasTests {
    @Test("An alias names the exported type where the service has its own of that name")
    func aliases() {
        let transport: any EventBus.Transport = InMemoryTransport()
        let envelope = EventBus.Envelope(topic: "order.created", payload: [])
        let cache: (any EventBus.Cache)? = nil
        #expect(transport.name == "in-memory")
        #expect(envelope.topic == "order.created")
        #expect(cache == nil)
        _ = (Cache(), Envelope(), Transport())
    }
}
