import FoundationEssentials

/// A value of most kinds that types can be coded as.
struct Sample: Codable, Equatable {
    enum State: Codable, Equatable {
        case new
        case paid(amount: Double, String)
        case sent(Carrier?)
    }

    enum Carrier: String, Codable, CodingKeyRepresentable { case post, ship, 飞机 }

    struct Line: Codable, Equatable {
        var sku: String
        var quantity: Int
        var price: Double
        var note: String?
    }

    var id: UUID
    var name: String
    var flag: Bool
    var small: Int8
    var byte: UInt8
    var large: UInt64
    var number: Double
    var float: Float
    var lines: [Line]
    var state: State
    var carrier: Carrier?
    var tags: [String: String]
    var counts: [Int: Int]
    var carriers: [Carrier: Bool]
    var grid: [[Int32]]
    var values: [Double]
    var optionals: [String?]
    var link: URL?
    var amount: Decimal
    var data: Data
    var time: Date
    var absent: Int?

    init(using random: inout some RandomNumberGenerator) {
        func pick<Element>(_ elements: [Element]) -> Element {
            elements[Int.random(in: 0..<elements.count, using: &random)]
        }
        func count() -> Int { Int.random(in: 0...3, using: &random) }
        func string() -> String {
            (0..<Int.random(in: 0...20, using: &random)).map { _ in pick(Self.pieces) }.joined()
        }
        func double() -> Double {
            switch Int.random(in: 0...3, using: &random) {
            case 0: return Double(Int.random(in: -100_000...100_000, using: &random)) / 100
            case 1: return Double(Int.random(in: -1000...1000, using: &random))
            default:
                let value = Double(bitPattern: random.next())
                return value.isFinite ? value : 0
            }
        }
        var bytes = (random.next(), random.next())
        id = withUnsafeBytes(of: &bytes) { UUID(uuid: $0.load(as: uuid_t.self)) }
        name = string()
        flag = .random(using: &random)
        small = .random(in: .min ... .max, using: &random)
        byte = .random(in: .min ... .max, using: &random)
        large = pick([random.next(), .max, 0, 1 << 53 + 1, 9_999_999_999_999_999_999])
        number = double()
        float = Float(double())
        if !float.isFinite { float = 1.5 }
        lines = (0..<count()).map { _ in
            Line(sku: string(), quantity: Int(random.next() >> 40), price: double(), note: pick([nil, string()]))
        }
        state = pick([.new, .paid(amount: double(), string()), .sent(pick([nil, .post, .飞机]))])
        carrier = pick([nil, .post, .ship, .飞机])
        tags = Dictionary((0..<count()).map { _ in (string(), string()) }) { $1 }
        counts = Dictionary((0..<count()).map { _ in (Int(Int8.random(in: -9...9, using: &random)), count()) }) { $1 }
        carriers = Dictionary((0..<count()).map { _ in (pick([.post, .ship, .飞机]), .random(using: &random)) }) { $1 }
        grid = (0..<count()).map { _ in (0..<count()).map { _ in Int32(truncatingIfNeeded: random.next()) } }
        values = (0..<count()).map { _ in double() }
        optionals = (0..<count()).map { _ in pick([nil, string()]) }
        link = pick([nil, URL(string: "https://example.com/a/b?c=%20")])
        amount = Decimal(string: pick(["0", "-1", "0.1", "19.99", "12345678901234567890.123456789", "1e30"])) ?? 0
        data = Data((0..<count() * 3 + count()).map { _ in UInt8(truncatingIfNeeded: random.next()) })
        time = Date(timeIntervalSinceReferenceDate: Double(Int32(truncatingIfNeeded: random.next())))
        absent = pick([nil, count()])
    }

    private static let pieces = [
        "a", "B", "7", " ", "/", "\"", "\\", "\n", "\t", "\u{0}", "\u{1f}", "\u{7f}", "é", "e\u{301}", "日本", "😀",
        "\u{2028}", "a longer piece of text",
        "\r\n", "\u{8}", "\u{c}", "{", "}", ":", ",",
    ]
}
