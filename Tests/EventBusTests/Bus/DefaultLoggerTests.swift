import EventBusInMemory
import Logging
import Testing

@testable import EventBus

@Suite("The default logger of a bus", .timeLimit(.minutes(1)))
struct DefaultLoggerTests {
    @Test("It is swift-log's default, and silence is opt-in")
    func logger() {
        let logger = EventBus(transport: .inMemory()).logger.logger
        #expect(logger.label == "eventbus")
        #expect(!(logger.handler is SwiftLogNoOpLogHandler))
        #expect(type(of: logger.handler) == type(of: Logger(label: "any").handler))
        let silence = Logger(label: "eventbus") { _ in SwiftLogNoOpLogHandler() }
        #expect(EventBus(transport: .inMemory(), logger: silence).logger.logger.handler is SwiftLogNoOpLogHandler)
    }
}
