/// Two objects that are created once and returned alternately.
actor RoundRobin<Element: Sendable> {
    private let make: @Sendable () async throws -> Element
    private var elements: [Task<Element, any Error>] = []
    private var count = 0

    init(make: @escaping @Sendable () async throws -> Element) {
        self.make = make
    }

    func next() async throws -> Element {
        count += 1
        let index = count % 2
        while elements.count <= index {
            let make = make
            elements.append(Task { try await make() })
        }
        return try await elements[index].value
    }
}
