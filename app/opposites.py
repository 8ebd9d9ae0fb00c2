"""Words and their opposites, such as people put into a question to make it ask for something that is not there.

A word that stands in several pairs keeps the opposite of the first.
"""

_PAIRS = """
    first/last largest/smallest biggest/smallest highest/lowest most/least more/less before/after north/south
    east/west northern/southern eastern/western northeast/southwest northwest/southeast early/late earlier/later
    increase/decrease increased/decreased increases/decreases rise/fall rose/fell rises/falls rising/falling won/lost
    win/lose winner/loser winners/losers victory/defeat victories/defeats began/ended begin/end begins/ends
    beginning/ending start/end started/ended starts/ends finish/start finished/started founded/dissolved
    established/abolished established/dissolved created/destroyed create/destroy built/demolished build/demolish
    constructed/demolished oldest/youngest older/younger longest/shortest longer/shorter larger/smaller bigger/smaller
    greater/lesser greatest/least higher/lower high/low large/small big/small great/small near/far nearest/farthest
    closest/farthest closer/farther wide/narrow wider/narrower widest/narrowest deep/shallow deeper/shallower
    deepest/shallowest thick/thin thicker/thinner heavy/light heavier/lighter heaviest/lightest fast/slow
    faster/slower fastest/slowest quickly/slowly rapid/slow hot/cold hotter/colder hottest/coldest warm/cool
    warmer/cooler wet/dry rich/poor richer/poorer richest/poorest wealthy/poor cheap/expensive expensive/cheap
    tall/short taller/shorter tallest/shortest easy/difficult easier/harder easiest/hardest simple/complex
    safe/dangerous clean/dirty healthy/sick hard/soft smooth/rough bright/dark brighter/darker brightest/dimmest
    straight/curved horizontal/vertical inner/outer interior/exterior maximum/minimum upper/lower top/bottom
    front/back forward/backward upward/downward inward/outward inside/outside above/below over/under male/female
    men/women man/woman boy/girl boys/girls father/mother son/daughter sons/daughters brother/sister brothers/sisters
    husband/wife king/queen prince/princess actor/actress uncle/aunt parents/children old/new newest/oldest
    ancient/modern past/future former/current formerly/currently previous/next final/initial original/revised
    permanent/temporary major/minor strong/weak stronger/weaker strongest/weakest strengthen/weaken
    strengthened/weakened strength/weakness strengths/weaknesses best/worst better/worse good/bad majority/minority
    public/private accept/reject accepted/rejected accepts/rejects approve/reject approved/rejected agree/refuse
    agreed/refused agreement/disagreement support/oppose supported/opposed supports/opposes supporters/opponents
    supporter/opponent praised/criticized praise/criticism gained/lost gain/loss gains/losses profit/loss
    profits/losses enter/leave entered/left enters/leaves joined/left join/leave arrive/depart arrived/departed
    arrival/departure positive/negative active/inactive allow/forbid allowed/forbidden allows/forbids permitted/banned
    permit/ban legal/illegal legalized/banned include/exclude included/excluded includes/excludes common/rare
    commonly/rarely usually/rarely often/rarely frequently/rarely always/never possible/impossible likely/unlikely
    known/unknown famous/obscure popular/unpopular successful/unsuccessful succeeded/failed succeed/fail
    success/failure passed/failed official/unofficial formal/informal regular/irregular direct/indirect
    directly/indirectly complete/incomplete equal/unequal able/unable happy/unhappy visible/invisible
    natural/artificial domestic/foreign local/national internal/external urban/rural civilian/military civil/military
    religious/secular mandatory/optional required/optional compulsory/voluntary physical/mental theoretical/practical
    offensive/defensive attack/defend attacked/defended attackers/defenders guilty/innocent alive/dead living/dead
    live/die lived/died open/closed opened/closed opening/closing full/empty right/wrong add/remove added/removed
    expand/reduce expanded/reduced grow/shrink grew/shrank bought/sold buy/sell buyer/seller buyers/sellers
    purchased/sold sent/received send/receive sends/receives raise/lower raised/lowered captured/released
    arrested/released imprisoned/freed hired/fired appointed/dismissed married/divorced appeared/disappeared
    appear/disappear believe/doubt believed/doubted encourage/discourage encouraged/discouraged improve/worsen
    improved/worsened united/divided combine/separate combined/separated connected/separated attract/repel absorb/emit
    absorbed/emitted protect/endanger protected/endangered prevent/cause prevented/caused prevents/causes avoid/cause
    remember/forget similar/different similarity/difference similarities/differences same/different import/export
    imports/exports imported/exported producer/consumer producers/consumers employer/employee employers/employees
    teacher/student teachers/students ally/enemy allies/enemies friend/enemy friends/enemies advantage/disadvantage
    advantages/disadvantages benefit/drawback benefits/drawbacks offense/defense entrance/exit day/night
    morning/evening summer/winter spring/autumn hardware/software liquid/solid rational/irrational finite/infinite
    even/odd acidic/alkaline liberal/conservative demand/supply input/output loved/hated love/hate forced/allowed
    unable/able fewest/most fewer/more
"""
OPPOSITE: dict[str, str] = {}
"""A word in lower case -> its opposite; both ways."""
for _one, _other in (pair.split("/") for pair in _PAIRS.split()):
    OPPOSITE.setdefault(_one, _other)
    OPPOSITE.setdefault(_other, _one)
