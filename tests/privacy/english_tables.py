"""Makes the tables of English names from the counts of the US Census of 1990, which are in the public domain.

They are read from the package `names` of Python's registry: its folder is the argument. Names that are more often
a word, a month or a place stand alone nowhere, but count before a family name.
"""

import pathlib
import sys
import textwrap

FAMILY = 14_000
ALONE = 450

WORDS = """will may june april august mark grant bill chase rose hope faith grace art frank jack drew dale glen ray
dean earl king prince major sterling guy gene rich pat sue bob rob dick jean joy dawn eve iris ivy lily daisy violet
holly heather ginger amber ruby pearl crystal jade opal penny sunny summer autumn star sky angel destiny trinity
honey candy cherry olive rosemary basil clay cliff forest heath lane brook reed stone wade gale misty stormy
chance cash price ford lance miles page porter hunter carter mason taylor tanner sawyer cooper baker parker
austin dallas houston jordan madison charlotte victoria florence carolina virginia georgia paris london
sydney chelsea brooklyn savannah phoenix dakota cheyenne montana asia china india america israel kenya jackson
lincoln washington nelson hamilton clinton lincoln milan troy denver cleveland boston preston lorraine sierra
jamaica geneva vienna verona alexandria kingston santa san an see son so do man many long young lee in on the
van my your her his love mercy patience charity constance prudence royal noble bishop deacon judge doctor king
queen duke junior senior master mister miss golden silver gray green brown white black blue red page case
marine cruz mayo buck rusty rocky rod pearly christian lourdes fe le la de du else ha hue ok era soo so
shore mi ma pa so ann july march so era delta epic echo nova max merry rally ward winter sage rain storm ocean
river bay blossom bliss heaven genesis neva nevada pia much noel love tad tim tom ted ned van vern wes said
signe tu so vi yen zen""".split()

# Given names and family names of people from elsewhere, which a census of 1990 has few of.
GIVEN = """priya vikram divya anita sanjay rajesh ananya arjun rohan neha pooja kavya deepak sunita lakshmi ravi
suresh ramesh amit rahul anjali aditya ishaan meera nisha kiran asha manish vijay gaurav shreya swati harish
ahmed mohammed muhammad mohamed omar fatima aisha hassan hussein ali yusuf ibrahim khalid layla leila zainab
mariam tariq bilal samir nadia karim jamal abdul abdullah rashid faisal hamza salma amina yasmin noor imran
farid mustafa mehmet ayse elif emre kenji hiroshi yuki takashi akira haruto sakura yoko naoko satoshi keiko
kazuo takeshi yumi aiko daisuke shinji tomoko minh thuy linh tuan hung nguyen lan huong quang duc anh mei wei
jing xin hao jun ming ling yan li hui xiao fang jie tao chen yang bo chao ngozi chinedu amara kwame kofi ama
chidi emeka ifeoma adaeze chioma obinna tunde femi yemi bola ade sade zola thabo sipho nomsa lerato kwabena abena
akosua esi kojo svetlana dmitri ivan olga natasha sergei vladimir mikhail andrei alexei tatiana irina yelena
ekaterina anastasia boris igor pavel oleg yuri nikolai katarina milan zoran goran dragan jovana marko luka
ingrid sven lars bjorn astrid freya erik nils anders greta hans klaus jurgen dieter heinrich wolfgang uwe
ulrike anneliese jorg matthias stefan francois pierre jacques amelie margaux thierry benoit camille luc
giovanni giuseppe marco luca francesca chiara alessandro matteo sofia paolo pietro simone giulia lorenzo juan
carlos miguel jose javier alejandro diego rodrigo santiago lucia ximena valentina mateo andres fernanda
joaquin guadalupe esperanza rocio beatriz dolores pilar ines joao paulo thiago rafael bruna larissa siobhan
niamh aoife ciaran declan padraig eoin sinead maeve fiona callum ewan hamish isla rhys gareth dylan sian angus
piotr tomasz agnieszka katarzyna wojciech magdalena krzysztof zbigniew yannis dimitris eleni kostas nikos
tyrone jamal deshawn latoya keisha imani zoe liam ethan owen aiden noah logan mia ava chloe ella emma olivia
isabella harper aria riley nora hazel oliver elijah lucas finn leo theo oscar hugo ellie ines nadine""".split()
FAMILIES = """raman mehta nair patel desai sharma gupta singh reddy iyer banerjee chatterjee mukherjee kapoor
malhotra agarwal joshi verma rao menon pillai das bose khan ahmed hassan hussein haddad rahman al-sayed
ibrahim mansour nasser khoury aziz farouk yilmaz demir kaya tanaka sato suzuki watanabe yamamoto nakamura
kobayashi mori ito kimura hayashi yoshida yamada matsumoto inoue nguyen tran pham huynh hoang phan dang bui ngo
wang zhang chen liu huang zhao zhou xu sun zhu lin guo luo liang xie deng feng zheng yang wu li kim park choi
jung kang cho yoon lim okafor nwosu eze adebayo okonkwo adeyemi mensah osei boateng asante owusu appiah
mwangi otieno kamau dlamini nkosi ndlovu mokoena diallo traore petrov ivanov ivanova volkov smirnov kuznetsov
popov sokolov novak kovac kovacs horvat nagy szabo kowalski nowak wisniewski lindqvist lindholm solberg hansen
johansson andersson nilsson larsson olsen jensen nielsen schmidt mueller muller schneider fischer weber meyer
wagner becker schulz hoffmann steiner dubois laurent moreau rousseau lefevre girard fournier rossi russo
ferrari bianchi romano colombo ricci marino greco conti marchetti garcia rodriguez martinez hernandez lopez
gonzalez perez sanchez ramirez torres flores rivera gomez diaz reyes morales cruz ortiz gutierrez silva
santos oliveira souza pereira costa ferreira almeida o'brien o'connor o'rourke o'neill o'reilly o'sullivan
mcallister mcdonald mckenzie macleod wei jiang cai pan song cheng tang han gao shen fan ye su lu ding yao tan jin qiu qin xia meng bai tian dong cao yuan
hu peng zeng xiao du jia shao papadopoulos georgiou obi merrick osman""".split()


def census(folder, name):
    lines = (folder / name).read_text().split("\n")
    return [line.split()[0].lower() for line in lines if line.strip()]


def write(path, words):
    text = textwrap.fill(" ".join(words), 118, break_on_hyphens=False, break_long_words=False)
    path.write_text(text + "\n")


def main():
    folder = pathlib.Path(sys.argv[1])
    target = pathlib.Path(__file__).parents[2] / "coordinator/src/data/privacy/tables"
    target.mkdir(exist_ok=True)
    female, male = census(folder, "dist.female.first"), census(folder, "dist.male.first")
    words = set(WORDS)
    alone = sorted(set(female[:ALONE] + male[: ALONE - 100] + [n for n in GIVEN if len(n) > 3]) - words)
    given = sorted(set(female + male + GIVEN + WORDS_AS_GIVEN) - set(alone) - NEVER)
    family = sorted(set(census(folder, "dist.all.last")[:FAMILY] + FAMILIES))
    write(target / "english_alone.txt", alone)
    write(target / "english_given.txt", [name for name in given if len(name) > 1])
    write(target / "english_family.txt", [name for name in family if len(name) > 1])


WORDS_AS_GIVEN = """will mark grant bill rose hope faith grace frank jack drew dale glen ray dean earl pat sue bob rob
jean joy dawn iris ivy lily daisy violet holly heather amber ruby pearl crystal jade austin jordan madison charlotte
victoria florence virginia georgia sydney chelsea savannah troy clinton nelson jackson mason taylor hunter carter miles
lorraine christian tim tom ted max noel april june august tanner cooper parker lance guy gene""".split()
NEVER = set("""see so do an my in on the man many long ok else much said an la le de du fe era soo ha mi ma pa son hue
see your her his san santa china asia india america kenya israel jamaica delta epic echo""".split())

if __name__ == "__main__":
    main()
