import FoundationEssentials

/// A value whose type codes by hand, in the ways that synthesized code does not use.
struct Layered: Codable, Equatable {
    enum CodingKeys: String, CodingKey {
        case plainText, nestedPart, nestedList, other, optional, wrapped, choice, setOf, twice, nothing
    }
    enum PartKeys: String, CodingKey { case firstNumber, secondNumber, grid }

    struct Wrapper: Codable, Equatable {
        var number: Double

        init(_ number: Double) { self.number = number }
        init(from decoder: any Decoder) throws { number = try decoder.singleValueContainer().decode(Double.self) }
        func encode(to encoder: any Encoder) throws {
            var container = encoder.singleValueContainer()
            try container.encode(number)
        }
    }

    indirect enum Choice: Codable, Equatable {
        case leaf
        case branch(left: Choice, right: Choice)
        case labeled(String, count: UInt16)
    }

    struct Base: Codable, Equatable { var baseName: String, baseTime: Date? }

    var plainText = ""
    var numbers: [Int16] = []
    var grid: [[UInt32]] = []
    var list: [String?] = []
    var base = Base(baseName: "", baseTime: nil)
    var other = Base(baseName: "", baseTime: nil)
    var optional: Int?
    var wrapped = Wrapper(0)
    var choice = Choice.leaf
    var setOf: Set<Int> = []
    var twice: Int64 = 0
    var data: [UUID: Data] = [:]

    init(using random: inout some RandomNumberGenerator) {
        func count() -> Int { Int.random(in: 0...3, using: &random) }
        func string() -> String { (0..<count()).map { _ in ["a", "é", "\"", "\\", "日"][count()] }.joined() }
        func time() -> Date? {
            Bool.random(using: &random)
                ? nil : Date(timeIntervalSince1970: Double(Int.random(in: -9_999_999...9_999_999_999, using: &random)))
        }
        func choice(_ depth: Int) -> Choice {
            switch Int.random(in: 0...(depth > 3 ? 1 : 2), using: &random) {
            case 0: .leaf
            case 1: .labeled(string(), count: UInt16(truncatingIfNeeded: random.next()))
            default: .branch(left: choice(depth + 1), right: choice(depth + 1))
            }
        }
        plainText = string()
        numbers = (0..<2).map { _ in Int16(truncatingIfNeeded: random.next()) }
        grid = (0..<count()).map { _ in (0..<count()).map { _ in UInt32(truncatingIfNeeded: random.next()) } }
        list = (0..<count()).map { _ in Bool.random(using: &random) ? nil : string() }
        base = Base(baseName: string(), baseTime: time())
        other = Base(baseName: string(), baseTime: time())
        optional = Bool.random(using: &random) ? nil : count()
        let special: [Double] = [0.1, -0.0, 1e300, .infinity, -.infinity, 12]
        wrapped = Wrapper(special.randomElement(using: &random) ?? 0)
        self.choice = choice(0)
        setOf = Set((0..<count()).map { _ in count() })
        twice = Int64(bitPattern: random.next())
        for _ in 0..<count() {
            var bytes = (random.next(), random.next())
            let id = withUnsafeBytes(of: &bytes) { UUID(uuid: $0.load(as: uuid_t.self)) }
            data[id] = Data((0..<count()).map { _ in UInt8(truncatingIfNeeded: random.next()) })
        }
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let part = try container.nestedContainer(keyedBy: PartKeys.self, forKey: .nestedPart)
        numbers = [
            try part.decode(Int16.self, forKey: .firstNumber), try part.decode(Int16.self, forKey: .secondNumber),
        ]
        var rows = try part.nestedUnkeyedContainer(forKey: .grid)
        while !rows.isAtEnd {
            var row = try rows.nestedUnkeyedContainer()
            var elements: [UInt32] = []
            while !row.isAtEnd { elements.append(try row.decode(UInt32.self)) }
            grid.append(elements)
        }
        var list = try container.nestedUnkeyedContainer(forKey: .nestedList)
        while !list.isAtEnd {
            if try list.decodeNil() { self.list.append(nil) } else { self.list.append(try list.decode(String.self)) }
        }
        base = try Base(from: container.superDecoder())
        other = try Base(from: container.superDecoder(forKey: .other))
        optional = try container.decodeIfPresent(Int.self, forKey: .optional)
        wrapped = try container.decode(Wrapper.self, forKey: .wrapped)
        choice = try container.decode(Choice.self, forKey: .choice)
        setOf = try container.decode(Set<Int>.self, forKey: .setOf)
        if let text = try? container.decode(String.self, forKey: .twice) {
            twice = Int64(text) ?? 0
        } else {
            twice = try container.decode(Int64.self, forKey: .twice)
        }
        if container.contains(.nothing), try container.decodeNil(forKey: .nothing) { twice = -twice }
        plainText = try container.decode(String.self, forKey: .plainText)
        data = try decoder.container(keyedBy: DataKeys.self).decode([UUID: Data].self, forKey: .data)
    }

    private enum DataKeys: String, CodingKey { case data }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(plainText, forKey: .plainText)
        var part = container.nestedContainer(keyedBy: PartKeys.self, forKey: .nestedPart)
        try part.encode(numbers[0], forKey: .firstNumber)
        var rows = part.nestedUnkeyedContainer(forKey: .grid)
        for row in grid {
            var elements = rows.nestedUnkeyedContainer()
            for element in row { try elements.encode(element) }
        }
        try part.encode(numbers[1], forKey: .secondNumber)
        var list = container.nestedUnkeyedContainer(forKey: .nestedList)
        for element in self.list {
            if let element { try list.encode(element) } else { try list.encodeNil() }
        }
        try base.encode(to: container.superEncoder())
        try other.encode(to: container.superEncoder(forKey: .other))
        try container.encodeIfPresent(optional, forKey: .optional)
        try container.encode(wrapped, forKey: .wrapped)
        try container.encode(choice, forKey: .choice)
        try container.encode(setOf.sorted(), forKey: .setOf)
        try container.encode(twice, forKey: .twice)
        var rest = encoder.container(keyedBy: DataKeys.self)
        try rest.encode(data, forKey: .data)
    }
}
